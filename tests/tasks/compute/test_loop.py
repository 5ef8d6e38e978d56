"""The optimizer steps, in this process and without Ray."""

import errno
import math

import pytest
import torch

from infra.storage import open_store
from tasks.algorithm.blueprint import Blueprint
from tasks.compute import checkpoint
from tasks.compute.loop import Checkpoints, Run, train
from tasks.compute.meter import Meter
from tasks.compute.spread import Place
from tasks.compute.worker import open_run, recomputes, room_bytes
from tasks.report import StepError


def same_weights(left: Run, right: Run) -> bool:
    a, b = left.model.state_dict(), right.model.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def watch_nothing(_run: Run, _meter: Meter) -> None:
    pass


def test_the_loss_falls_and_each_step_leaves_a_line(workspace, tmp_path):
    run = open_run(workspace.artifacts, Place())
    train(run, Checkpoints(open_store(str(tmp_path)), "c", 1000), watch_nothing)
    assert [line["step"] for line in run.curve] == list(range(1, 21))
    assert run.curve[-1]["tokens"] == 64 * 20
    assert run.curve[0]["loss"] == pytest.approx(math.log(300), abs=0.2)
    assert run.curve[-1]["loss"] < run.curve[0]["loss"] - 0.2
    assert not (tmp_path / "c").exists()


def test_expert_loads_are_shares_of_a_layer(workspace, tmp_path):
    run = open_run(workspace.artifacts, Place())
    train(run, Checkpoints(open_store(str(tmp_path)), "c", 1000), watch_nothing)
    [shares] = run.curve[-1]["expert_load"]
    assert len(shares) == 4
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    entropy = -sum(share * math.log(share) for share in shares if share) / math.log(4)
    assert run.curve[-1]["expert_entropy"] == pytest.approx([entropy], abs=1e-5)
    assert run.curve[-1]["dead_experts"] == [shares.count(0.0)]


@pytest.mark.parametrize(
    ("choice", "room", "expected"),
    [("auto", 1.0, True), ("auto", 1.2, True), ("auto", 1.3, False), ("on", 99.0, True), ("off", 0.1, False)],
)
def test_layers_are_computed_twice_where_memory_is_short(workspace, choice, room, expected):
    artifacts = workspace.set_training(activation_checkpointing=choice).artifacts
    blueprint = Blueprint.read(artifacts / "blueprint")
    assert recomputes(blueprint, int(room * blueprint.memory_bytes), Place()) is expected
    if choice != "auto":
        assert open_run(artifacts, Place()).recompute is expected


def test_a_worker_counts_on_its_share_of_a_machine():
    assert room_bytes(Place(workers=4, here=2)) == pytest.approx(room_bytes(Place()) / 2, rel=1e-6)


def test_experts_without_a_token_are_dead(workspace):
    run = open_run(workspace.artifacts, Place())
    run._load_LE.copy_(torch.tensor([[6, 0, 2, 0]]))
    taken = run._take_load()
    assert taken["dead_experts"] == [2]
    assert taken["expert_entropy"] == pytest.approx([(0.75 * math.log2(4 / 3) + 0.25 * 2) / 2], abs=1e-6)
    assert run._take_load()["expert_load"] == [[0.0] * 4]


def test_every_option_of_the_objective_resumes_to_the_same_bits(workspace, tmp_path, one_thread):
    said = {"balance_loss": 0.01, "z_loss": 0.001, "activation_checkpointing": "on"}
    made = workspace.set_training(**said, blueprint={"n_mtp_layers": 1})
    straight, places = open_run(made.artifacts, Place()), Checkpoints(open_store(str(tmp_path)), "c", 5)
    while straight.step < 12:
        straight.advance()
    first = open_run(made.artifacts, Place())
    while first.step < 6:
        first.advance()
    checkpoint.save(places.store, "c", 6, first.state(Meter(device="cpu", flops_per_token=1)))
    resumed = open_run(made.artifacts, Place())
    found = checkpoint.load_newest(places.store, "c")
    assert found is not None
    resumed.resume(*found)
    while resumed.step < 12:
        resumed.advance()
    assert same_weights(resumed, straight)
    assert resumed.curve == straight.curve
    assert 0 < straight.curve[-1]["mtp_loss"] < straight.curve[0]["mtp_loss"]


def test_documents_are_masked_unless_told_otherwise(workspace, one_thread):
    losses = []
    for masking in ({}, {"document_masking": True}, {"document_masking": False}):
        run = open_run(workspace.set_training(**masking).artifacts, Place())
        for _ in range(5):
            run.advance()
        losses.append(run.curve[-1]["loss"])
    assert losses[0] == losses[1] != losses[2]


def test_the_mean_loss_does_not_depend_on_micro_shards(workspace, one_thread):
    first = open_run(workspace.artifacts, Place())
    first.advance()
    whole = open_run(workspace.set_training(micro_shards=1).artifacts, Place())
    whole.advance()
    assert first.curve[0]["loss"] == pytest.approx(whole.curve[0]["loss"], rel=1e-5)
    assert first.curve[0]["gradient_norm"] == pytest.approx(whole.curve[0]["gradient_norm"], rel=1e-4)


def test_a_run_that_stopped_ends_with_the_same_bits(workspace, tmp_path):
    straight = open_run(workspace.artifacts, Place())
    train(straight, Checkpoints(open_store(str(tmp_path)), "straight", 1000), watch_nothing)

    def interrupt(run: Run, _meter: Meter) -> None:
        if run.step == 13:
            raise InterruptedError

    places = Checkpoints(open_store(str(tmp_path)), "stopped", 5)
    with pytest.raises(InterruptedError):
        train(open_run(workspace.artifacts, Place()), places, interrupt)
    seen = []
    resumed = open_run(workspace.artifacts, Place())
    train(resumed, places, lambda run, _meter: seen.append(run.step))
    assert seen[0] == 11
    assert same_weights(resumed, straight)
    assert resumed.curve == straight.curve


def test_time_before_a_stop_is_counted(workspace, tmp_path):
    run = open_run(workspace.artifacts, Place())
    before = {"wall_seconds": 100.0, "cpu_seconds": 50.0, "waited_seconds": 7.0}
    meter = Meter(device="cpu", flops_per_token=1, before=before)
    checkpoint.save(open_store(str(tmp_path)), "run", 19, {**run.state(meter), "curve": [{"loss": 1.0}] * 19})
    ended = train(
        open_run(workspace.artifacts, Place()), Checkpoints(open_store(str(tmp_path)), "run", 1000), watch_nothing
    )
    assert ended.spent()["wall_seconds"] > 100
    assert ended.spent()["cpu_seconds"] > 50
    assert ended.spent()["waited_seconds"] > 7


def test_a_loss_that_is_no_number_ends_the_run_with_advice(workspace):
    run = open_run(workspace.artifacts, Place())
    with torch.no_grad():
        run.model.lm_head.weight[0, 0] = torch.nan
    with pytest.raises(StepError, match=r"step 1 .*diverged.*train.learning_rate"):
        run.advance()


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(workspace, tmp_path, monkeypatch, caplog):
    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, "No space left on device", "state.safetensors")

    whole, full_run = (open_run(workspace.artifacts, Place()) for _ in range(2))
    train(whole, Checkpoints(open_store(str(tmp_path)), "c", 1000), watch_nothing)
    monkeypatch.setattr(checkpoint, "save", full)
    train(full_run, Checkpoints(open_store(str(tmp_path)), "c", 5), watch_nothing)
    assert same_weights(whole, full_run)
    assert "no checkpoint after step 5" in caplog.text
