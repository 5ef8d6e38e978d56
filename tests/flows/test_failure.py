"""The first line of a failure is the cause and the next move."""

import errno
from pathlib import Path

from flows.failure import failure_of
from flows.graph import StepFailedError
from flows.present import failed
from tasks.report import StepError


def test_an_error_that_says_all_is_the_cause():
    failure = failure_of(StepError("expected text, found none; add text to notes/"))
    assert failure.cause == "expected text, found none; add text to notes/"
    assert failure.tail == ()


def test_the_artifact_begins_with_the_cause_then_come_the_last_lines_then_the_log():
    lines = tuple(f"line {number}" for number in range(40))
    error = StepFailedError("expected text, found none; add text")
    said = failed(failure_of(error, step="clean", tail=lines, log=Path("/runs/otter/clean.log"))).split("\n\n")
    assert said[0] == "**clean failed:** expected text, found none; add text"
    assert said[1].splitlines()[-2] == "line 39"
    assert len(said[1].splitlines()) == 22
    assert said[2] == "The whole log: `/runs/otter/clean.log`"


def test_an_error_that_nobody_foresaw_is_named_and_followed_by_what_to_do():
    failure = failure_of(ZeroDivisionError("division by zero"))
    assert failure.cause.startswith("ZeroDivisionError: division by zero; ")
    assert "run again" in failure.cause


def test_a_full_disk_is_said():
    failure = failure_of(OSError(errno.ENOSPC, "No space left on device", "/runs/x"))
    assert "free some space" in failure.cause


def test_nothing_said_is_said():
    assert failure_of(StepError("")).cause == "no reason was given"


def test_a_cause_cannot_break_out_of_its_line():
    said = failed(failure_of(StepError("found <script> ![x](http://evil.example) in `a`")))
    assert said == "**the run failed:** found &lt;script\\> \\!\\[x\\]\\(http://evil.example\\) in \\`a\\`"
