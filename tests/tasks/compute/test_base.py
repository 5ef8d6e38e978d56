"""Training goes on from a base: better at equal tokens, the same bytes again and for any number of workers."""

import pytest
import torch

from infra.storage import open_store
from tasks.algorithm.huggingface import to_hf
from tasks.compute.base import require_same_shape
from tasks.compute.loop import Checkpoints, Run, train
from tasks.compute.spread import Place
from tasks.compute.train import inputs_digest
from tasks.compute.worker import open_run
from tasks.report import StepError, write_json


def watch_nothing(*_: object) -> None:
    pass


def trained(workspace, tmp_path, name: str) -> Run:
    run = open_run(workspace.artifacts, Place())
    train(run, Checkpoints(open_store(str(tmp_path / "checkpoints")), name, 1000), watch_nothing)
    return run


def make_base(workspace, run: Run, **shape) -> None:
    """What discover would fetch of a release with this model."""
    from safetensors.torch import save_file

    discover = workspace.artifacts / "discover"
    write_json(discover / "base.json", {"ref": "docs@v1", "files": {"model.safetensors": {"sha256": "0" * 64}}})
    described = run.blueprint.shape.model_dump(mode="json") | shape
    write_json(discover / "base" / "blueprint.json", {"shape": described})
    weights = to_hf(run.model.state_dict(), run.blueprint.shape)
    save_file({name: weight.clone() for name, weight in weights.items()}, discover / "base" / "model.safetensors")


def test_a_run_begins_with_the_weights_of_the_base(workspace, tmp_path, one_thread):
    first = trained(workspace, tmp_path, "first")
    make_base(workspace, first)
    begun = open_run(workspace.artifacts, Place()).model.state_dict()
    assert all(torch.equal(weight, begun[name]) for name, weight in first.model.state_dict().items())


def test_at_equal_tokens_it_ends_better_than_from_nothing_and_the_same_again(workspace, tmp_path, one_thread):
    first = trained(workspace, tmp_path, "first")
    make_base(workspace, first)
    second, again = (trained(workspace, tmp_path, name) for name in ("second", "again"))
    assert second.tokens == first.tokens
    assert second.curve[-1]["loss"] < first.curve[-1]["loss"] - 0.1
    assert second.curve == again.curve
    states = second.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(weight, states[1][name]) for name, weight in states[0].items())


def test_another_base_is_another_run_among_checkpoints(workspace, tmp_path):
    before = inputs_digest(workspace.artifacts, device="cpu")
    make_base(workspace, open_run(workspace.artifacts, Place()))
    assert inputs_digest(workspace.artifacts, device="cpu") != before


def test_a_base_from_before_multi_token_prediction_has_none(workspace, tmp_path):
    run = open_run(workspace.artifacts, Place())
    make_base(workspace, run)
    described = run.blueprint.shape.model_dump(mode="json")
    del described["n_mtp_layers"]
    write_json(workspace.artifacts / "discover" / "base" / "blueprint.json", {"shape": described})
    require_same_shape(workspace.artifacts, run.blueprint.shape)
    with pytest.raises(StepError, match="n_mtp_layers 1, docs@v1 has 0"):
        require_same_shape(workspace.artifacts, run.blueprint.shape.model_copy(update={"n_mtp_layers": 1}))


def test_a_base_of_another_shape_is_refused_by_the_values_that_differ(workspace):
    run = open_run(workspace.artifacts, Place())
    make_base(workspace, run, width=64, vocab_size=512)
    with pytest.raises(StepError, match=r"vocab_size 300, docs@v1 has 512; width 32, docs@v1 has 64.*discover\.base"):
        require_same_shape(workspace.artifacts, run.blueprint.shape)
