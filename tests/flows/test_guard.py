"""The guard ends the whole tree under a step, whatever happens to the flow above it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import alive_after

# A child that starts a grandchild in a session of its own, both ignoring SIGTERM, and writes their process ids.
TREE = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
inner = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", inner], start_new_session=True)
time.sleep(0.3)
open(sys.argv[1] + ".new", "w").write(f"{os.getpid()} {child.pid}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""


def start(tmp_path: Path, *command: str, parent: bool = False) -> subprocess.Popen[bytes]:
    guarded = [sys.executable, "-m", "flows.guard", *command]
    if parent:  # a flow that holds the other end of the guard's standard input
        code = f"import subprocess,time; subprocess.Popen({guarded!r}, stdin=subprocess.PIPE); time.sleep(600)"
        guarded = [sys.executable, "-c", code]
    return subprocess.Popen(guarded, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def tree(pids: Path) -> list[int]:
    deadline = time.monotonic() + 20
    while not pids.exists():
        assert time.monotonic() < deadline, "the child did not start"
        time.sleep(0.02)
    return [int(pid) for pid in pids.read_text().split()]


@pytest.mark.parametrize("end", ["flow_killed", "guard_terminated"])
def test_the_whole_tree_dies_within_five_seconds(tmp_path: Path, end: str):
    flow = start(tmp_path, sys.executable, "-c", TREE, str(tmp_path / "pids"), parent=end == "flow_killed")
    try:
        pids = tree(tmp_path / "pids")
        os.kill(flow.pid, signal.SIGKILL if end == "flow_killed" else signal.SIGTERM)
        assert alive_after(pids, 5.0) == []
    finally:
        flow.kill()
        flow.communicate()


def test_what_a_command_leaves_behind_is_ended(tmp_path: Path):
    code = (
        "import subprocess,sys; p=subprocess.Popen([sys.executable,'-c','import time; time.sleep(600)'],"
        "start_new_session=True); open(sys.argv[1],'w').write(str(p.pid))"
    )
    flow = start(tmp_path, sys.executable, "-c", code, str(tmp_path / "pid"))
    try:
        assert flow.wait(20) == 0
        assert alive_after([int((tmp_path / "pid").read_text())], 1.0) == []
    finally:
        flow.communicate()


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_is_the_commands(tmp_path: Path, code: int):
    flow = start(tmp_path, sys.executable, "-c", f"raise SystemExit({code})")
    flow.wait(20)
    flow.communicate()
    assert flow.returncode == code
