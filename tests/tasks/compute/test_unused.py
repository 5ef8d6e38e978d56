"""Checkpoints: those of the workspace's inputs stay, finished; where that cannot be told all stay."""

import pytest

from data_contracts.pieces import TRAIN, Piece, write_pieces
from infra.settings import Settings
from tasks.compute import unused as module
from tasks.compute.train import inputs_digest
from tasks.compute.unused import unused


@pytest.fixture
def settings(tmp_path):
    made = Settings(workspace=tmp_path)
    for name in ("blueprint/blueprint.json", "discover/base.json", "pack/train/one.npy"):
        (made.artifacts / name).parent.mkdir(parents=True)
        (made.artifacts / name).write_text("x")
    write_pieces(made.artifacts / "pack", [Piece(TRAIN, "one", 1, 1, "uint16", 1, 1, 1)])
    return made


def checkpoint(settings, digest, file="step-000000010-ab.safetensors"):
    path = settings.runs / "checkpoints" / digest / file
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    return path.relative_to(settings.runs / "checkpoints").as_posix()


def names(settings, stale=""):
    (found,) = unused(settings, stale=stale)
    assert not (found.files and found.left_alone)
    return [file.name for file in found.files]


def test_only_checkpoints_of_the_present_inputs_stay(settings):
    for device in ("cpu", "cuda"):
        checkpoint(settings, inputs_digest(settings.artifacts, device=device))
    half = checkpoint(settings, ".tmp", "12-ab")
    other = checkpoint(settings, "0" * 32)
    assert names(settings) == sorted([half, other])
    (settings.artifacts / "pack" / "train" / "one.npy").write_text("other text")
    assert len(names(settings)) == 4


@pytest.mark.parametrize("missing", ["blueprint/blueprint.json", "discover/base.json", "pack/train/one.npy"])
def test_where_the_inputs_are_missing_or_not_those_of_the_next_run_all_stay(settings, missing):
    checkpoint(settings, "0" * 32)
    assert names(settings, stale="not current: pack") == []
    assert len(names(settings)) == 1
    (settings.artifacts / missing).unlink()
    assert names(settings) == []
    assert missing in unused(settings, stale="")[0].left_alone


def test_runs_elsewhere_may_be_of_others(settings, tmp_path_factory):
    shared = Settings(workspace=settings.workspace, runs=tmp_path_factory.mktemp("shared"))
    checkpoint(shared, "0" * 32)
    assert names(shared) == []


def test_both_devices_that_train_may_use_are_looked_at():
    assert set(module._DEVICES) == {"cpu", "cuda"}
