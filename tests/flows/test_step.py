"""A step ends as it ends, whatever becomes of what people are shown of it."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from prefect.logging import disable_run_logger

from flows import step as step_module
from flows import terminal
from flows.account import Account, account
from flows.graph import StepFailedError
from flows.step import run_step
from infra.settings import Settings
from tasks.report import write_json


class FakeProcess:
    """A step that says two lines and ends so."""

    error: Exception | None = None

    def __init__(self, step: str, settings: Settings, *, look_again: bool) -> None:
        self._step, self._settings = step, settings

    def __enter__(self) -> "FakeProcess":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def lines(self) -> Iterator[str | None]:
        yield f"{self._step}: begins"
        progress = self._settings.runs / "progress" / f"{self._step}.json"
        for state in ({"done": 1}, {"done": 1, "total": 0, "unit": "steps", "note": ""}, ["done"], {"done": None}):
            write_json(progress, state)
            yield None
        progress.write_text("{ half")
        yield None
        yield f"{self._step}: ends"

    def outcome(self) -> str:
        if self.error:
            raise self.error
        return "ran"


class BrokenTerminal(terminal.Terminal):
    def progress(self, *_: Any) -> None:
        raise OSError("the terminal is gone")


@pytest.fixture
def told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[Account]:
    """Accounts of runs, and a Prefect API that answers nothing but errors."""
    accounts: list[Account] = []
    monkeypatch.setattr("flows.tell.tell", lambda now, _settings: accounts.append(now))
    monkeypatch.setattr(step_module, "StepProcess", FakeProcess)
    for name in ("create_markdown_artifact", "create_progress_artifact", "update_progress_artifact"):
        monkeypatch.setattr(step_module, name, _unreachable)
    return accounts


def _unreachable(*_args: object, **_more: object) -> UUID:
    raise RuntimeError("Server error '500 Internal Server Error'")


def run(step: str) -> Any:
    with disable_run_logger(), account("pipeline"), terminal.shown_on(BrokenTerminal()):
        return run_step.fn(step)


def test_artifacts_and_progress_that_fail_fail_no_step(told: list[Account], warnings_of):
    result = run("train")
    assert (result.step, result.outcome) == ("train", "ran")
    assert [done.step for done in told[0].steps] == ["train"]
    assert (told[0].folder / "train.log").read_text() == "train: begins\ntrain: ends\n"
    warned = " ".join(warnings_of())
    assert "500 Internal Server Error" in warned
    assert "the terminal is gone" in warned


def test_a_picture_that_is_gone_fails_no_step(told: list[Account], settings: Settings, monkeypatch):
    (settings.artifacts / "train" / "curves.png").unlink()
    seen: list[str] = []
    monkeypatch.setattr(step_module, "create_markdown_artifact", lambda text, **_: seen.append(text))
    assert run("train").outcome == "ran"
    assert seen[0].startswith("# train\n\n10 steps")


def test_a_step_that_failed_is_raised_and_in_the_account_though_nothing_can_be_shown(
    told: list[Account], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(FakeProcess, "error", StepFailedError("expected text, found none; add some"))
    with pytest.raises(StepFailedError):
        run("clean")
    assert (told[0].failed_step, told[0].failure.cause) == ("clean", "expected text, found none; add some")
    assert told[0].failure.tail == ("clean: begins", "clean: ends")


def test_the_failure_artifact_begins_with_the_cause(told: list[Account], monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[str, str]] = []
    monkeypatch.setattr(step_module, "create_markdown_artifact", lambda text, *, key: seen.append((key, text)))
    monkeypatch.setattr(FakeProcess, "error", StepFailedError("expected text, found none; add some"))
    with pytest.raises(StepFailedError):
        run("clean")
    [(key, text)] = seen
    assert key == "clean-report"
    assert text.splitlines()[0] == "**clean failed:** expected text, found none; add some"
    assert text.splitlines()[-1].endswith("pipeline/clean.log`")
