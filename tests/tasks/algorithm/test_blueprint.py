"""The step writes a blueprint that can be read again, the same bytes each time."""

import pytest

from infra.settings import Settings
from tasks import params
from tasks.algorithm.blueprint import BLUEPRINT_FILE, Blueprint, run
from tasks.report import StepError


def parse(**blueprint) -> params.Params:
    return params.parse({"blueprint": {"preset": "nano", **blueprint}, "discover": {"sources": ["notes"]}})


def test_what_is_written_is_read_again(tmp_path):
    given = parse(n_layers=3)
    run(given, Settings(), tmp_path)
    made = Blueprint.read(tmp_path)
    assert made == Blueprint.make(given)
    assert made.shape.n_layers == 3
    assert made.shape.vocab_size == given.tokenizer.vocab_size
    assert made.training == given.train


def test_same_params_same_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run(parse(), Settings(), tmp_path / name)
    assert (tmp_path / "one" / BLUEPRINT_FILE).read_bytes() == (tmp_path / "two" / BLUEPRINT_FILE).read_bytes()


def test_report_says_what_it_will_cost(tmp_path):
    made = Blueprint.make(parse())
    facts = run(parse(), Settings(), tmp_path).facts
    assert facts["preset"] == "nano"
    assert facts["total_parameters"] == made.total_parameters > facts["active_parameters"]
    assert facts["training_flops"] == made.flops_per_token * made.steps * made.training.batch_tokens


def test_shape_that_cannot_run_fails_the_step_with_the_key_to_change(tmp_path):
    with pytest.raises(StepError, match=r"^width \(132\) must be a multiple of 8; change blueprint.width$"):
        run(parse(width=132), Settings(), tmp_path)
    assert not any(tmp_path.iterdir())
