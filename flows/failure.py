"""An error becomes what a person reads of it: cause and next move first, then the last lines, then where the log is."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from flows.graph import StaleUpstreamError, StepFailedError
from infra.disk import full_disk
from infra.git import GitError
from infra.lock import LockedError
from infra.outputs import DamagedError
from infra.settings import SettingsError, WorkspaceError
from infra.storage import StorageError
from tasks.params import ParamsError
from tasks.report import StepError

# Errors whose message says all: what was expected, what was found, what to do next.
SAYS_ALL = (
    ParamsError,
    SettingsError,
    WorkspaceError,
    LockedError,
    DamagedError,
    StepError,
    StepFailedError,
    StaleUpstreamError,
    StorageError,
    GitError,
)
_SHOWN_LINES = 20


class Failure(BaseModel):
    """Why a run ended badly."""

    model_config = ConfigDict(frozen=True)

    cause: str = Field(description="one line: what went wrong and what to do next")
    step: str = Field(default="", description="in which; empty: in none")
    tail: tuple[str, ...] = Field(default=(), description="last lines of its log")
    log: str = Field(default="", description="file with all of them")


def failure_of(error: BaseException, *, step: str = "", tail: tuple[str, ...] = (), log: Path | None = None) -> Failure:
    """What to tell of an error.

    Args:
        error: what ended the step or the run.
        step: that it ended.
        tail: what the step wrote last; without it the message's own further lines.
        log: file with all of it.
    """
    first, *more = [line.rstrip() for line in _message(error).splitlines() if line.strip()] or ["no reason was given"]
    lines = tail or tuple(more)
    return Failure(cause=first, step=step, tail=lines[-_SHOWN_LINES:], log=str(log) if log else "")


def _message(error: BaseException) -> str:
    said = full_disk(error) if isinstance(error, Exception) else ""
    if said:
        return said
    if isinstance(error, SAYS_ALL):
        return str(error)
    head, *more = str(error).splitlines() or [""]
    advice = "this is a fault of the program or the machine, not of your data: see the log, then run again"
    return "\n".join([f"{type(error).__name__}: {head}; {advice}", *more])
