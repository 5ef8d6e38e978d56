"""`abcd runs`, `abcd adopt`: what runs there were, and one of them brought into the workspace."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from flows.graph import StaleUpstreamError, require_current
from infra.lock import workspace_lock
from infra.settings import Settings
from infra.workspace import prepare
from tasks.distribution.run_record import RunRecord, list_runs
from tasks.report import StepError

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def runs(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """List the runs that ended: released, refused and failed ones, the newest first."""
    found, console = list_runs(Settings.load()), Console()
    if as_json:
        console.print_json(data=[_as_json(record) for record in found])
        return
    if not found:
        console.print("no run yet: type `abcd run`")
        return
    rows = [("run", "flow", "state", "release", "commit", "age"), *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    console.print(lines[0], style="bold", soft_wrap=True)
    for record, line in zip(found, lines[1:], strict=True):
        console.print(line, markup=False, soft_wrap=True)
        # A sentence below its run: beside it a terminal leaves a column of a word.
        for said in record.said.splitlines()[:1]:
            console.print(Padding(escape(said), (0, 0, 0, 4)), style="dim")


def _row(record: RunRecord) -> tuple[str, ...]:
    commit = (record.code.commit or "none")[:10] + ("+" if record.code.patch else "")
    age = describe_age(datetime.now(UTC) - datetime.fromisoformat(record.ended_at))
    return record.run, record.flow, record.state, record.release or "", commit, age


def adopt(
    run: Annotated[str, typer.Argument(help="Name of a run, as `abcd runs` has it.")],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Also where changes would be lost, or the code here is other code.")
    ] = False,
) -> None:
    """Make a run that was made in a checkout that of this workspace: its params.yaml, dvc.lock and outputs.

    `dvc repro` then finds everything up to date that the run had done.
    """
    from tasks.distribution.adopt import adopt as adopt_run

    settings, console = Settings.load(), Console()
    if settings.main != settings.workspace:
        raise StepError(f"{settings.workspace} is itself a run's checkout; adopt in the workspace: cd {settings.main}")
    prepare(settings)
    with workspace_lock(settings.state, what="abcd adopt", timeout_seconds=0):
        record = adopt_run(settings, run, force=force)
        console.print(f"params.yaml, dvc.lock and artifacts/ are those of run [bold]{escape(record.run)}[/]")
        try:
            require_current(list(record.outputs), settings)
        except StaleUpstreamError as error:
            console.print(f"[yellow]{escape(str(error))}[/]", soft_wrap=True)
            raise typer.Exit(1) from None
        console.print(f"{len(record.outputs)} steps are up to date")


def describe_age(age: timedelta) -> str:
    """A span of time in the largest unit that says something."""
    seconds = int(age.total_seconds())
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(seconds, 0)} s"


def _as_json(record: RunRecord) -> dict[str, object]:
    kept = {"run", "flow", "state", "said", "release", "started_at", "ended_at"}
    return {
        **record.model_dump(mode="json", include=kept),
        "commit": record.code.commit,
        "patched": bool(record.code.patch),
    }
