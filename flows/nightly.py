"""The night: look, and if there is something new, train on from the champion, judge, publish."""

from datetime import timedelta
from typing import Annotated

from prefect import State, flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import Field

from flows.account import account
from flows.algorithm import algorithm
from flows.big_data import big_data
from flows.compute import compute
from flows.distribution import distribution
from flows.keep import begin_with_last
from flows.night import Start, base_of, describe_lateness, ending, read_base, set_base, tell_drift
from flows.step import run_step
from infra.lock import workspace_lock
from infra.settings import Settings
from infra.workspace import prepare
from tasks.distribution.news import news


@flow(name="nightly")
def nightly(
    start: Start = Start.CHAMPION, latest_start_hours: Annotated[float, Field(gt=0, le=24)] = 3.0
) -> State[None]:
    """Train a new release if there is something new; its end says what came of the night.

    Args:
        start: what training goes on from: the champion, or nothing (scratch); watch: measure drift, train nothing.
        latest_start_hours: a start that is later, as after downtime, is skipped.
    """
    with account("nightly") as told:
        late = describe_lateness(flow_run.scheduled_start_time, at_most=timedelta(hours=latest_start_hours))
        if late:
            told.skipped = late
            return Completed(name="Skipped", message=late)
        settings, logger = Settings.load(), get_run_logger()
        prepare(settings)
        with workspace_lock(settings.state, what="flow nightly"):
            before = read_base(settings)
            set_base(settings, base_of(start, before))
            begin_with_last(settings)
            run_step("discover", look_again=True)
            found = news(settings)
            if found.made_before:
                set_base(settings, before)  # a night that makes nothing leaves nothing
                told.nothing_new = found.made_before
                return Completed(name="Nothing new", message=f"nothing is new: {found.made_before}")
            for item in found.items:
                logger.info("new since the champion: %s", item)
            algorithm()
            big_data(look_again=False)
            if start is Start.WATCH:
                run_step("drift")
                return Completed(name="Watched", message=tell_drift(settings, retrained=False).summary)
            compute()
            tell_drift(settings, retrained=True)
            return ending(distribution())
