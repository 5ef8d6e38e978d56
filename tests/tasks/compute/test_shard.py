"""Weights in shards on two and four processes train as one process does, but for the order of fp32 sums."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from infra.storage import open_store
from tasks.compute.job import WEIGHTS_FILE
from tasks.compute.loop import Checkpoints, train
from tasks.compute.spread import Place
from tasks.compute.train import read_curve
from tasks.compute.worker import open_run
from tests.tasks.compute.conftest import TINY, Workspace, make
from tests.tasks.compute.gloo_worker import start

pytestmark = [pytest.mark.timeout(280), pytest.mark.usefixtures("one_thread")]

# Largest relative difference: of a loss or gradient norm, and of a weight's norm (Muon makes noise in small singular
# values as large as the rest). Found: 2e-7, 4e-7 and 5e-6.
_TOLERANCE = 1e-5


Ended = tuple[list[dict[str, Any]], dict[str, Tensor]]


def alone(workspace: Workspace) -> Ended:
    """Curve and weights of one process."""
    run = open_run(workspace.artifacts, Place())
    train(run, Checkpoints(open_store(str(workspace.root)), "alone", 1000), lambda *_: None)
    return run.curve, run.weights()


def work(shards: Workspace, workers: int, **said: Any) -> list[dict[str, int]]:
    """What each worker says that it has."""
    said = {"artifacts": str(shards.artifacts), "out": str(shards.root), "checkpoints": str(shards.root)} | said
    return [json.loads(out) for out in start("tests.tasks.compute.gloo_worker", workers, **said) if out]


def check_outputs(folder: Path, alone: Ended) -> None:
    curve, weights = alone
    assert len(curve) == 20
    for line, expected in zip(read_curve(folder), curve, strict=True):
        assert line["loss"] == pytest.approx(expected["loss"], rel=_TOLERANCE)
        assert line.get("mtp_loss", 0.0) == pytest.approx(expected.get("mtp_loss", 0.0), rel=_TOLERANCE)
        assert line["gradient_norm"] == pytest.approx(expected["gradient_norm"], rel=_TOLERANCE)
        assert line.get("expert_load") == expected.get("expert_load")
    found = load_file(folder / WEIGHTS_FILE)
    assert found.keys() == weights.keys()
    for name, weight in weights.items():
        assert (found[name] - weight).norm() <= _TOLERANCE * weight.norm(), name


def test_two_workers_with_half_of_the_experts_each_train_like_one_process(workspace):
    shards = workspace.set_training(parallel="shard")
    have = work(shards, 2)
    check_outputs(shards.root, alone(shards))
    assert sum(each["weights"] for each in have) == have[0]["of"]
    assert max(each["weights"] for each in have) == pytest.approx(have[0]["of"] / 2, rel=0.01)


@pytest.mark.long
def test_four_workers_as_two_pairs_and_all_that_training_may_do(workspace):
    """Each pair has all experts; predicted tokens ahead, losses of routers, layers computed twice."""
    more = {"activation_checkpointing": "on", "z_loss": 1e-3, "balance_loss": 1e-3, "parallel": "shard"}
    shards = make(
        workspace.root,
        TINY | {"blueprint": TINY["blueprint"] | {"n_mtp_layers": 1}, "train": TINY["train"] | more},
    )
    have = work(shards, 4, expert_workers=2)
    check_outputs(shards.root, alone(shards))
    assert max(each["weights"] for each in have) == pytest.approx(have[0]["of"] / 4, rel=0.02)


@pytest.mark.long
def test_a_checkpoint_of_four_goes_on_with_two(workspace):
    shards = workspace.set_training(parallel="shard")
    work(shards, 4, checkpoint_steps=5, stop_after=13)
    [folder] = {file.parent for file in shards.root.rglob("step-*.safetensors")}
    assert {file.name[:14] for file in folder.iterdir()} == {"step-000000005", "step-000000010"}
    work(shards, 2, expert_workers=1)  # experts gathered as all else
    check_outputs(shards.root, alone(shards))
