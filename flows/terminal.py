"""What a person sees of a run in a terminal: each step, its progress, its result."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_PLAIN_SECONDS = 15.0
_MARKS = {"ran": "[green]✓[/]", "restored": "[cyan]↺[/]", "current": "[dim]=[/]"}


class Terminal:
    """Shows nothing: for runs that nobody watches in a terminal."""

    def stage(self, name: str) -> None:
        """A stage begins."""

    def start(self, step: str) -> None:
        """A step begins."""

    def line(self, step: str, text: str) -> None:
        """A step wrote a line."""

    def progress(self, step: str, done: int, total: int, unit: str, note: str) -> None:
        """A step is so far."""

    def finish(self, step: str, outcome: str, seconds: float, summary: str) -> None:
        """A step ended well."""

    def fail(self, step: str) -> None:
        """A step ended badly."""

    def report(self, path: Path) -> None:
        """The report of the run is there."""


class RichTerminal(Terminal):
    """A line a finished step, a live bar for the one that runs; plain lines where output is no terminal."""

    def __init__(self, console: Console, *, verbose: bool) -> None:
        self.console, self.verbose = console, verbose
        columns = [
            SpinnerColumn(),
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
        ]
        self._bar = Progress(*columns, console=console, transient=True)
        self._task: TaskID | None = None
        self._said = 0.0
        self._report: Path | None = None

    @contextmanager
    def live(self) -> Iterator[None]:
        """Show the bar while the block runs."""
        with self._bar:
            yield

    def stage(self, name: str) -> None:
        self.console.print(f"\n[bold]{name.replace('_', ' ')}[/]")

    def start(self, step: str) -> None:
        self._drop()
        self._task = self._bar.add_task(step, total=None, note="")
        self._said = time.monotonic()

    def line(self, step: str, text: str) -> None:
        if self.verbose:
            self.console.print(f"    [dim]{escape(text)}[/]", highlight=False)
        elif self._task is not None and text.startswith(f"{step}: "):
            self._bar.update(self._task, note=escape(text.removeprefix(f"{step}: ").splitlines()[0][:80]))

    def progress(self, step: str, done: int, total: int, unit: str, note: str) -> None:
        text = f"{done:,} of {total:,} {unit}  {note}"
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total, note=escape(text))
        if not self.console.is_terminal and time.monotonic() - self._said >= _PLAIN_SECONDS:
            self._said = time.monotonic()
            self.console.print(f"  … {step:<10} {escape(text)}", highlight=False)

    def finish(self, step: str, outcome: str, seconds: float, summary: str) -> None:
        self._drop()
        said = {
            "ran": summary,
            "restored": f"{summary} (from the cache)",
            "current": f"{summary} (unchanged)",
        }
        self.console.print(
            f"  {_MARKS[outcome]} {step:<10} {seconds:6.1f} s  {escape(said[outcome].strip())}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip

    def fail(self, step: str) -> None:
        self._drop()
        self.console.print(f"  [red]✗ {step}[/]", highlight=False)

    def report(self, path: Path) -> None:
        self._report = path

    def say_where(self) -> None:
        """Say where the report is: last of all, whether the run ended well or not."""
        if self._report:
            self.console.print(f"report     {self._report}", soft_wrap=True, highlight=False, markup=False)

    def _drop(self) -> None:
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None


_active: list[Terminal] = [Terminal()]


def active() -> Terminal:
    """The terminal that shows this process's run."""
    return _active[-1]


@contextmanager
def shown_on(terminal: Terminal) -> Iterator[Any]:
    """Show the runs of this process on `terminal` while the block runs."""
    _active.append(terminal)
    try:
        yield terminal
    finally:
        _active.pop()
