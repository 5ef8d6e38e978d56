"""All that is shown of a run is what this run brought up to date."""

from flows.summary import summary_of
from infra.settings import Settings
from tasks.report import StepError, write_json
from tests.flows.conftest import release


def test_a_whole_run(settings: Settings, ended):
    account = ended()
    account.release = release()
    found = summary_of(account, settings)
    assert found.release == "notes@v3"
    assert [line.outcome_said for line in found.steps] == ["ran"] * 8
    assert [figure.label for figure in found.figures] == [
        "bits per byte", "training time", "utilisation (MFU)", "tokens",
    ]  # fmt: skip
    assert found.figures[0].note == "champion, v1: 1.900"
    assert [picture.title for picture in found.pictures] == [
        "Loss, learning rate and expert load", "Tokens a second", "Held-out documents and the load of each expert",
    ]  # fmt: skip


def test_what_a_step_cost_is_said_of_those_that_ran(settings: Settings, ended):
    write_json(settings.runs / "steps" / "clean.json", {"cpu_seconds": 12.34, "peak_rss_mib": 512.0})
    costs = {line.step: line.cost for line in summary_of(ended(), settings).steps}
    assert costs["clean"] == "12.3 CPU s, 0.5 GiB"
    assert costs["ingest"] == ""
    assert {line.cost for line in summary_of(ended(outcome="current"), settings).steps} == {""}


def test_of_steps_that_did_not_end_nothing_is_said_though_old_outputs_are_there(settings: Settings, ended):
    account = ended("ingest")
    account.failed("clean", 1.0, StepError("expected text; add some"))
    found = summary_of(account, settings)
    assert [(line.step, line.outcome) for line in found.steps] == [("ingest", "ran"), ("clean", "failed")]
    assert (found.pictures, found.cost, found.compared, found.samples) == ((), (), (), ())
    assert found.bits_per_byte is None
    assert found.figures == ()


def test_the_same_picture_is_shown_once(settings: Settings, ended):
    curves = settings.artifacts / "train" / "curves.png"
    (settings.artifacts / "evaluate" / "evaluation.png").write_bytes(curves.read_bytes())
    titles = [picture.title for picture in summary_of(ended(), settings).pictures]
    assert titles == ["Loss, learning rate and expert load", "Tokens a second"]


def test_an_output_that_the_next_run_is_making_anew_is_left_out(settings: Settings, ended):
    account = ended()
    for name in ("train/curves.png", "train/model.safetensors", "evaluate/samples.json"):
        (settings.artifacts / name).unlink()
    found = summary_of(account, settings)
    assert [picture.title for picture in found.pictures] == ["Held-out documents and the load of each expert"]
    assert found.samples == ()
