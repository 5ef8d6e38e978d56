"""How a step's end is read from what DVC says."""

import subprocess
import sys

import pytest

from flows.graph import StepFailedError, StepProcess


def finished(said: str, code: int) -> StepProcess:
    """A step's process that has said this and ended so."""
    process = StepProcess.__new__(StepProcess)
    process._step = "clean"
    process._said, process._code = [], 0
    program = f"import sys; sys.stdout.write({said!r}); sys.exit({code})"
    process._popen = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        list(process.lines())
    return process


def test_a_step_that_ended_well():
    assert finished("Running stage 'clean':\n", 0).outcome() == "ran"
    assert finished("Stage 'clean' is cached - skipping run, checking out outputs\n", 0).outcome() == "restored"
    assert finished("Stage 'clean' didn't change, skipping\n", 0).outcome() == "current"


def test_a_step_s_own_message_is_the_error():
    said = "Running stage 'clean':\nclean: expected text, found none\nERROR: failed to reproduce 'clean'\n"
    with pytest.raises(StepFailedError, match=r"^expected text, found none$"):
        finished(said, 1).outcome()


def test_of_a_step_without_words_the_last_line_is_the_cause_and_a_move_follows():
    said = "Running stage 'clean':\nTraceback\nZeroDivisionError: division\nERROR: failed to reproduce 'clean'\n"
    with pytest.raises(StepFailedError) as caught:
        finished(said, 1).outcome()
    first, *rest = str(caught.value).splitlines()
    assert first == "clean ended with code 1: ZeroDivisionError: division; `python -m tasks clean` runs this step alone"
    assert "Traceback" in rest


def test_a_full_cache_is_a_failure_though_dvc_ends_well():
    said = "Running stage 'clean':\nERROR: failed to transfer 'ab' - [Errno 28] No space left on device: 'x' -> 'y'\n"
    with pytest.raises(StepFailedError, match=r"No space left on device.*free some space"):
        finished(said, 0).outcome()
