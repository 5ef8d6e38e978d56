"""`abcd report`: where the report of a run is."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.settings import Settings

REPORT_FILE = "report.html"


def report(
    run: Annotated[str | None, typer.Argument(help="Name of the run; the last one that ended if not given.")] = None,
    *,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in a browser.")] = False,
) -> None:
    """Say where the report of a run is: one file for a browser, that needs no network."""
    settings = Settings.load()
    path = settings.records / run / REPORT_FILE if run else _last(settings.records)
    if path is None or not path.is_file():
        known = ", ".join(sorted(path.parent.name for path in settings.records.glob(f"*/{REPORT_FILE}"))) or "none yet"
        raise typer.BadParameter(f"{run or 'no run'} has no report in {settings.records}; runs that have one: {known}")
    Console().print(str(path), soft_wrap=True, highlight=False, markup=False)
    if open_it:
        typer.launch(path.as_uri())


def _last(runs: Path) -> Path | None:
    return max(runs.glob(f"*/{REPORT_FILE}"), key=lambda path: path.stat().st_mtime, default=None)
