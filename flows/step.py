"""`run_step`: the one Prefect task. A DVC step in a guarded child process; its log, progress and artifacts."""

import json
import time
from typing import Self
from uuid import UUID

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger
from pydantic import BaseModel

from flows import present, terminal
from flows.graph import Outcome, StepFailedError, StepProcess
from infra.settings import Settings
from tasks.report import Report


class StepResult(BaseModel):
    """What a flow knows of a step that ended well."""

    step: str
    outcome: Outcome
    seconds: float
    report: Report


@task(name="step", task_run_name="{step}", persist_result=False)
def run_step(step: str, *, look_again: bool = False) -> StepResult:
    """Bring one step of the graph up to date through DVC.

    Args:
        step: name of the step, as in `dvc.yaml`.
        look_again: run it even if nothing changed, as `discover` must to see the world.

    Raises:
        StepFailedError: the step ended badly.
    """
    settings, logger, started = Settings.load(), get_run_logger(), time.monotonic()
    terminal.active().start(step)
    with StepProcess(step, settings, look_again=look_again) as process, _Progress(step, settings) as progress:
        for line in process.lines():
            if line is None:
                progress.update()
            else:
                logger.info(line)
                terminal.active().line(step, line)
    try:
        outcome = process.outcome()
    except StepFailedError as error:
        terminal.active().fail(step)
        present.attempt(create_markdown_artifact, f"**{step} failed:** {error}", key=f"{step}-report")
        raise
    folder = settings.artifacts / step
    report, seconds = Report.read(folder), time.monotonic() - started
    present.attempt(create_markdown_artifact, present.markdown(report, folder), key=f"{step}-report")
    terminal.active().finish(step, outcome, seconds, report.summary)
    return StepResult(step=step, outcome=outcome, seconds=seconds, report=report)


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
        try:
            state = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return
        now = (int(state["done"]), str(state["note"]))
        if now == self._last:
            return
        self._last = now
        terminal.active().progress(self._step, now[0], int(state["total"]), state["unit"], now[1])
        percent = 100.0 * now[0] / max(int(state["total"]), 1)
        description = f"{now[0]} of {state['total']} {state['unit']}. {now[1]}".strip()
        if self._id is None:
            key = f"{self._step}-progress"
            made = present.attempt(create_progress_artifact, progress=percent, key=key, description=description)
            self._id = made if isinstance(made, UUID) else None
        else:
            present.attempt(update_progress_artifact, self._id, progress=percent, description=description)
