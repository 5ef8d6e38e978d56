"""Progress of a long step: a file that a flow watches, a bar in a terminal, log lines elsewhere."""

import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

logger = logging.getLogger(__name__)

T = TypeVar("T")
_FILE_SECONDS = 0.3
_LOG_SECONDS = 10.0


class Progress:
    """`with Progress("train", total=600, unit="steps", file=...) as p: p.update(12, "loss 3.1")`.

    A progress file that cannot be written never fails the step.
    """

    def __init__(self, step: str, *, total: int, unit: str, file: Path | None = None) -> None:
        self.step, self.total, self.unit, self.file = step, total, unit, file
        self._start = self._filed = self._logged = time.monotonic()
        self._bar: Bar | None = None
        if sys.stderr.isatty():
            self._bar, self._task = _bar(step, total)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        self._write(0, "")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        if self.file:
            self.file.unlink(missing_ok=True)

    def update(self, done: int, note: str = "") -> None:
        """Say that `done` of `total` units are done; cheap enough to call each step."""
        now = time.monotonic()
        if self._bar:
            self._bar.update(self._task, completed=done, note=note)
        elif now - self._logged >= _LOG_SECONDS:
            self._logged = now
            left = (now - self._start) / max(done, 1) * (self.total - done)
            logger.info("%s: %d of %d %s, about %.0f s left. %s", self.step, done, self.total, self.unit, left, note)
        if now - self._filed >= _FILE_SECONDS:
            self._filed = now
            self._write(done, note)

    def over(self, items: Iterable[T]) -> Iterator[T]:
        """Pass items through, counting them."""
        for done, item in enumerate(items, start=1):
            yield item
            self.update(done)

    def _write(self, done: int, note: str) -> None:
        if not self.file:
            return
        state = {"step": self.step, "done": done, "total": self.total, "unit": self.unit, "note": note}
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.file.with_suffix(".new")
            fresh.write_text(json.dumps(state))
            fresh.replace(self.file)
        except OSError as error:
            logger.warning("progress not written: %s", error)
            self.file = None


def _bar(step: str, total: int) -> "tuple[Bar, TaskID]":
    """A bar in the terminal; imported where there is one, as it takes a tenth of a step's start."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    bar = Progress(*columns, TextColumn("{task.fields[note]}"))
    return bar, bar.add_task(step, total=total, note="")
