"""One writer a workspace, and whoever waits knows for whom."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra import lock

HOLD = """
import sys, pathlib
from infra.lock import workspace_lock
with workspace_lock(pathlib.Path(sys.argv[1]), what="night run"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_told_who_holds_the_lock(tmp_path: Path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert lock.is_held(tmp_path)
        with (
            pytest.raises(lock.LockedError, match=rf"night run \(process {holder.pid}"),
            lock.workspace_lock(tmp_path, what="me", timeout_seconds=0.1),
        ):
            pass
    finally:
        holder.communicate("")
    assert not lock.is_held(tmp_path)


def test_a_killed_holder_leaves_the_lock_free(tmp_path: Path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    holder.kill()
    holder.communicate()
    with lock.workspace_lock(tmp_path, what="me", timeout_seconds=1):
        assert lock.is_held(tmp_path)


def test_a_child_of_the_holder_passes(tmp_path: Path):
    code = (
        "import pathlib,sys; from infra.lock import workspace_lock\n"
        "with workspace_lock(pathlib.Path(sys.argv[1]), what='step', timeout_seconds=0.1): print('in')"
    )
    with lock.workspace_lock(tmp_path, what="flow"):
        child = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert child.stdout == "in\n"
