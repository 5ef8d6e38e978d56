"""A flow run becomes an account of it: what was done, how long it took, how it ended; told at its end.

`account(flow)` surrounds the body of every flow. The outermost one is the run: what its steps and subflows do is
written down in it, and at the end, good or bad, it is told to people (`flows/tell.py`).
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from prefect.context import FlowRunContext
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from pydantic import BaseModel

from flows.failure import Failure, failure_of
from flows.graph import Outcome
from flows.step_log import StepLog
from infra.settings import Settings
from tasks.report import Report

if TYPE_CHECKING:
    from tasks.distribution.publish import PublishedRelease

# The file by which a later run of the same name knows that the folder is taken.
ID_FILE = ".flow-run-id"
_OTHERS = ("checkpoints", "measured", "progress", "rejected", "steps")


class StepResult(BaseModel):
    """What a flow knows of a step that ended well."""

    step: str
    outcome: Outcome
    seconds: float
    report: Report


@dataclass
class Account:
    """A run so far."""

    flow: str
    run: str
    run_id: str
    folder: Path
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    steps: list[StepResult] = field(default_factory=list)
    failed_step: str = ""
    failed_seconds: float = 0.0
    failure: Failure | None = None
    stopped: bool = False
    release: "PublishedRelease | None" = None
    nothing_new: str = ""
    skipped: str = ""
    logs: dict[str, StepLog] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._clock = time.monotonic()

    @classmethod
    def of_run(cls, flow: str, settings: Settings) -> Self:
        """Account of the flow run that this code runs in, with a folder of its own."""
        context = FlowRunContext.get()
        found = context.flow_run if context else None
        name, run_id = (found.name, str(found.id)) if found else (flow, "")
        run = run_name(name, run_id, settings.records)
        return cls(flow=flow, run=run, run_id=run_id, folder=settings.records / run)

    @property
    def seconds(self) -> float:
        """Since its start."""
        return time.monotonic() - self._clock

    def log(self, step: str) -> StepLog:
        """Log of a step that begins."""
        self.logs[step] = StepLog(self.folder / f"{step}.log", goes_on=step in self.logs)
        return self.logs[step]

    def done(self, result: StepResult) -> None:
        """A step ended well; one that was asked for again, and had nothing to do, is told once."""
        if result.outcome != "current" or all(done.step != result.step for done in self.steps):
            self.steps.append(result)
        if result.step == self.failed_step:  # at a second try it did
            self.failed_step, self.failure = "", None

    def failed(self, step: str, seconds: float, error: BaseException) -> Failure:
        """A step ended badly."""
        log = self.logs.get(step)
        self.failed_step, self.failed_seconds = step, seconds
        self.failure = failure_of(error, step=step, tail=tuple(log.tail) if log else (), log=log.path if log else None)
        return self.failure

    def ended_by(self, error: BaseException) -> None:
        """The run ends with this error, which may be that of the step that failed."""
        if not isinstance(error, Exception):
            self.stopped = True
        elif self.failure is None:
            self.failure = failure_of(error)


def run_name(name: str, run_id: str, runs: Path) -> str:
    """Name of a run's folder: that of its flow run, with the time before it where another run has that name."""
    safe = re.sub(r"[^\w.-]+", "-", name).strip(".-") or run_id or "run"
    owner = runs / safe / ID_FILE
    taken = owner.is_file() and owner.read_text(encoding="utf-8") != run_id
    if safe in _OTHERS or taken:
        safe = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{safe}"
    return safe


_active: list[Account] = []


def active() -> Account | None:
    """Account of the run that this process makes."""
    return _active[-1] if _active else None


@contextmanager
def account(flow: str) -> Iterator[Account]:
    """Write down what happens in the block, and tell it at its end; inside another account, that one goes on."""
    # Here, because that reads the account.
    from flows import keep, tell
    from flows.present import attempt

    if _active:
        yield _active[-1]
        return
    settings = Settings.load()
    now = Account.of_run(flow, settings)
    _active.append(now)
    attempt(keep.say_where, settings)
    try:
        # Subflows live no longer than their run, whose heartbeat is enough: each ends by waiting for its own (3.8.8
        # sleeps whole seconds there).
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            yield now
    except BaseException as error:
        now.ended_by(error)
        raise
    finally:
        _active.pop()
        tell.tell(now, settings)
        keep.keep(now, settings)
