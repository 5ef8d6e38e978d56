"""A Ray cluster of two nodes, started by Ray's own cluster utility on loopback, trains once."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.compute.job import CURVES_FILE, WEIGHTS_FILE, Job
from tasks.compute.spread import Place
from tasks.compute.worker import work_at
from tasks.report import sha256_of, write_json
from tests.ray_nodes import ROOT, shared_environment, two_nodes

pytestmark = [pytest.mark.thread, pytest.mark.long, pytest.mark.timeout(240)]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return shared_environment(tmp_path)


@pytest.fixture
def address(environment: dict[str, str]) -> Iterator[str]:
    with two_nodes(environment) as address:
        yield address


def test_two_nodes_give_the_bytes_of_one_process(workspace, tmp_path, environment, address):
    root = workspace.root
    for name in (".git", "dvc.yaml"):
        (root / name).touch()
    write_json(root / "params.yaml", workspace.params.model_dump(mode="json"))
    alone = tmp_path / "alone"
    alone.mkdir()
    job = Job(
        artifacts=str(workspace.artifacts), out=str(alone), checkpoints=str(tmp_path / "none"), name="alone",
        checkpoint_steps=1000, stall_seconds=100, progress=str(tmp_path / "progress.json"), device="cpu",
    )  # fmt: skip
    work_at(Place(), job)
    settings = {"ABCD_WORKSPACE": str(root), "ABCD_DEVICE": "cpu", "ABCD_RAY_ADDRESS": address}
    done = subprocess.run(
        [sys.executable, "-m", "tasks", "train"], cwd=ROOT, env={**environment, **settings},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Failed to query" not in done.stdout + done.stderr
    for name in (WEIGHTS_FILE, CURVES_FILE):
        assert sha256_of(workspace.artifacts / "train" / name) == sha256_of(alone / name)
    [measured] = (root / "runs" / "measured").glob("*.json")
    assert json.loads(measured.read_text())["workers"] == 2
