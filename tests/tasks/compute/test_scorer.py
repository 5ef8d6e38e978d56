"""A scorer's process ends with the step's, however that ended."""

import signal
import subprocess
import sys

from tests.processes import alive_after

# As `scorers.py` does it: a fork server between the step and the process that must not stay behind.
STEP = """
import multiprocessing, os, signal, sys, threading, time

def work(early):
    from tasks.compute import scorer
    if early:  # the step is gone before the process has come to look
        os.kill(multiprocessing.parent_process().pid, signal.SIGKILL)
    threading.Thread(target=scorer._end_with_the_step, daemon=True).start()
    time.sleep(600)

if __name__ == "__main__":
    process = multiprocessing.get_context("forkserver").Process(target=work, args=(sys.argv[1] == "early",))
    process.start()
    sys.stdout.write(f"{process.pid}\\n")
    sys.stdout.flush()
    sys.stdin.read()
"""


def started(tmp_path, when):
    script = tmp_path / "step.py"
    script.write_text(STEP)
    step = subprocess.Popen(
        [sys.executable, str(script), when], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert step.stdout is not None
    return step, int(step.stdout.readline())


def test_a_killed_step_leaves_no_scorer(tmp_path):
    step, pid = started(tmp_path, "late")
    step.send_signal(signal.SIGKILL)
    step.communicate()
    assert alive_after([pid], seconds=60) == []


def test_nor_does_one_that_was_killed_before_the_scorer_looked(tmp_path):
    step, pid = started(tmp_path, "early")
    step.communicate()
    assert step.returncode == -signal.SIGKILL
    assert alive_after([pid], seconds=60) == []
