"""What the nightly flow decides by: is it late, what to start from, how the night ended; and `abcd nightly`."""

import logging
import os
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from flows import terminal
from flows.present import describe
from flows.run import shown_run
from infra.settings import Settings
from infra.workspace import prepare
from tasks import params
from tasks.report import Report

if TYPE_CHECKING:
    from prefect import State

    from tasks.distribution.publish import PublishedRelease


logger = logging.getLogger(__name__)


class Start(StrEnum):
    """What a night's training goes on from; watch: measure drift, train nothing."""

    CHAMPION = params.CHAMPION_BASE
    SCRATCH = "scratch"
    WATCH = "watch"


# What an automation listens for (prefect.yaml).
DRIFT_EVENT = "abcd.drift.exceeded"
_ENDINGS = {"promote": "Kept", "refuse": "Refused", "ask": "Left to a person"}


def nightly(
    *,
    start: Annotated[
        Start, typer.Option(help="What training goes on from; watch: measure drift, train nothing.")
    ] = Start.CHAMPION,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every line that the steps write.")] = False,
) -> None:
    """Look, and train a new release only if there is something new: for cron, or to see what a night would do.

    Sets discover.base in params.yaml, so that `dvc repro` afterwards means the same run.
    """
    settings, console = Settings.load(), Console()
    os.chdir(settings.workspace)
    prepare(settings)
    shown = terminal.RichTerminal(console, verbose=verbose)
    with shown_run(settings, shown):
        from flows.nightly import nightly as night

        state = night(start, return_state=True)
    if state.is_completed():
        console.print(f"[bold]{state.name}[/]  {escape(state.message or '')}", soft_wrap=True)
    shown.say_where()
    if not state.is_completed():
        state.result()  # raises what went wrong


def describe_lateness(scheduled: datetime, *, at_most: timedelta, now: datetime | None = None) -> str:
    """Why a run that should have started at `scheduled` is skipped; empty: it is not too late."""
    # In seconds: Prefect's times are pendulum's, whose differences are no timedelta to divide by.
    late_hours = ((now or datetime.now(UTC)) - scheduled).total_seconds() / 3600
    most_hours = at_most.total_seconds() / 3600
    if late_hours <= most_hours:
        return ""
    return (
        f"skipped: due at {scheduled:%Y-%m-%d %H:%M %Z}, it would start {late_hours:.1f} h late, more "
        f"than the {most_hours:g} h of latest_start_hours; the next one comes as scheduled, and "
        "`abcd nightly` starts one now"
    )


def base_of(start: Start, before: str | None) -> str | None:
    """Value of `discover.base` for a night; one that trains nothing leaves what was there before."""
    return {Start.CHAMPION: params.CHAMPION_BASE, Start.SCRATCH: None, Start.WATCH: before}[start]


def read_base(settings: Settings) -> str | None:
    """What `params.yaml` says to start from."""
    return params.load(settings.workspace / params.PARAMS_FILE).discover.base


def set_base(settings: Settings, base: str | None) -> None:
    """Write what to start from into `params.yaml`, so that the graph says what the flow did."""
    for line in params.override(settings.workspace / params.PARAMS_FILE, [("discover.base", base)]):
        logger.info("params.yaml %s", line)


def ending(release: "PublishedRelease") -> "State[None]":
    """The state in which a night with a release ends."""
    from prefect.states import Completed

    name = "Promoted" if release.is_champion else _ENDINGS[release.decision]
    return Completed(name=name, message=f"{release.ref}: {describe(release)}")


def tell_drift(settings: Settings, *, retrained: bool) -> Report:
    """What the step `drift` found; over a limit it becomes an event, by which a Prefect automation may start a run."""
    from prefect.events import emit_event

    report = Report.read(settings.artifacts / "drift")
    if report.facts["exceeded"]:
        name = params.load(settings.workspace / params.PARAMS_FILE).model_name
        labels = {"prefect.resource.name": name, "abcd.retrained": "yes" if retrained else "no"}
        emit_event(DRIFT_EVENT, {"prefect.resource.id": f"abcd.model.{name}", **labels}, payload=report.facts)
    return report
