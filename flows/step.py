"""`run_step`: the one Prefect task. A DVC step in a guarded child process; its log, progress and artifacts."""

import json
import time
from pathlib import Path
from typing import Self
from uuid import UUID

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from flows import account, current, present, terminal
from flows.account import StepResult
from flows.graph import Outcome, StepFailedError, StepProcess
from infra.settings import Settings
from tasks.report import Report


@task(name="step", task_run_name="{step}", persist_result=False)
def run_step(step: str, *, look_again: bool = False) -> StepResult:
    """Bring one step of the graph up to date through DVC.

    Args:
        step: name of the step, as in `dvc.yaml`.
        look_again: run it even if nothing changed, as `discover` must to see the world.

    Raises:
        StepFailedError: the step ended badly.
    """
    settings, started = Settings.load(), time.monotonic()
    terminal.active().start(step)
    run = account.active() or account.Account.of_run(step, settings)
    try:
        if not look_again and current.is_current(step, settings):
            outcome: Outcome = "current"
            get_run_logger().info("%s: nothing it depends on has changed", step)
        else:
            outcome = _through_dvc(step, settings, run, look_again=look_again)
    except BaseException as error:
        failure = run.failed(step, time.monotonic() - started, error)
        terminal.active().fail(step)
        if isinstance(error, StepFailedError):
            present.attempt(create_markdown_artifact, present.failed(failure), key=f"{step}-report")
        raise
    folder = settings.artifacts / step
    result = StepResult(
        step=step, outcome=outcome, seconds=time.monotonic() - started, report=Report.read(folder)
    )  # fmt: skip
    run.done(result)
    present.attempt(_show, result.report, folder)
    terminal.active().finish(step, outcome, result.seconds, result.report.summary)
    return result


def _through_dvc(step: str, settings: Settings, run: account.Account, *, look_again: bool) -> Outcome:
    """Run it as `dvc repro` does; its lines go to the run's log, its file and the terminal."""
    logger = get_run_logger()
    with (
        run.log(step) as log,
        StepProcess(step, settings, look_again=look_again) as process,
        _Progress(step, settings) as progress,
    ):
        for line in process.lines():
            if line is None:
                progress.update()
            else:
                logger.info(line)
                log.line(line)
                terminal.active().line(step, line)
    outcome = process.outcome()
    current.note(outcome, looked_again=look_again)
    return outcome


def _show(report: Report, folder: Path) -> None:
    create_markdown_artifact(present.markdown(report, folder), key=f"{report.step}-report")


class _Progress:
    """Progress artifact of a step that says how far it is; made at the first sign of progress."""

    def __init__(self, step: str, settings: Settings) -> None:
        self._step = step
        self._file = settings.runs / "progress" / f"{step}.json"
        self._id: UUID | None = None
        self._last: tuple[int, str] | None = None

    def __enter__(self) -> Self:
        self._file.unlink(missing_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._id and kind is None:
            present.attempt(update_progress_artifact, self._id, progress=100.0)

    def update(self) -> None:
        """Show how far the step is, if it says so; what cannot be read or shown is left."""
        try:
            state = json.loads(self._file.read_text())
            done, total, unit, note = int(state["done"]), int(state["total"]), str(state["unit"]), str(state["note"])
        except (OSError, ValueError, TypeError, KeyError):
            return
        if (done, note) == self._last:
            return
        self._last = (done, note)
        present.attempt(terminal.active().progress, self._step, done, total, unit, note)
        percent = 100.0 * done / max(total, 1)
        description = f"{done} of {total} {unit}. {note}".strip()
        if self._id is None:
            key = f"{self._step}-progress"
            made = present.attempt(create_progress_artifact, progress=percent, key=key, description=description)
            self._id = made if isinstance(made, UUID) else None
        else:
            present.attempt(update_progress_artifact, self._id, progress=percent, description=description)
