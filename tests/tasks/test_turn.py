"""Steps that use the accelerators wait for each other, on one machine; all others do not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.lock import is_held
from infra.settings import Settings
from tasks.__main__ import STEPS, _turn
from tests.conftest import ROOT

TAKE_TURN = """
import logging, sys
from infra.settings import Settings
from tasks.__main__ import _turn
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
with _turn(sys.argv[2], Settings(workspace=sys.argv[1])):
    print("its turn", flush=True)
"""


@pytest.mark.parametrize("step", STEPS)
def test_the_steps_of_compute_hold_the_accelerators_and_no_other_does(step: str, tmp_path: Path):
    settings = Settings(workspace=tmp_path)
    with _turn(step, settings):
        assert is_held(settings.checkouts / ".accelerators") == (STEPS[step] == "compute")


def test_on_a_cluster_ray_gives_out_turns(tmp_path: Path):
    settings = Settings(workspace=tmp_path, ray_address="ray://head:10001")
    with _turn("train", settings):
        assert not is_held(settings.checkouts / ".accelerators")


def test_a_second_training_says_for_whom_it_waits_and_then_has_its_turn(tmp_path: Path):
    with _turn("train", Settings(workspace=tmp_path)):
        other = subprocess.Popen(
            [sys.executable, "-c", TAKE_TURN, str(tmp_path), "train"], stdout=subprocess.PIPE, text=True,
            cwd=ROOT, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert other.stdout is not None
        said = other.stdout.readline()
        assert f"the accelerators are in use by train in {tmp_path} (process {os.getpid()}" in said
    assert other.communicate(timeout=60)[0] == "its turn\n"
