"""What `abcd up`, `status` and `down` ask of the Prefect API: the work pool, what is offered, what runs, what is next.

Import it when `PREFECT_API_URL` is set: Prefect reads its settings at import.
"""

import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Cancelling, Crashed
from pydantic import BaseModel

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

POOL = "abcd"
RefusedError = PrefectHTTPStatusError
ACTIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_OURS = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))


class Deployment(BaseModel):
    """What the UI offers to run."""

    name: str
    url: str
    schedule: str = ""


class Run(BaseModel):
    """A flow run that is under way, or planned."""

    name: str
    deployment: str
    state: str
    at: datetime | None


class Offer(BaseModel):
    """What the platform offers, runs and plans."""

    deployments: list[Deployment]
    running: list[Run]
    planned: list[Run]


def client() -> SyncPrefectClient:
    """A client of the API in `PREFECT_API_URL`."""
    return get_client(sync_client=True)


def open_pool(api: SyncPrefectClient) -> None:
    """Make the work pool, or let it hand out work again."""
    try:
        if api.read_work_pool(POOL).is_paused:
            api.update_work_pool(POOL, WorkPoolUpdate(is_paused=False))
    except ObjectNotFound:
        api.create_work_pool(WorkPoolCreate(name=POOL, type="process", description="runs of this machine"))


def close_pool(api: SyncPrefectClient) -> None:
    """Let the work pool hand out nothing more: what waits for its turn stays planned."""
    with contextlib.suppress(ObjectNotFound):  # stopped before its first start was complete
        api.update_work_pool(POOL, WorkPoolUpdate(is_paused=True))


def active_runs(api: SyncPrefectClient) -> list[FlowRun]:
    """Runs that the worker has begun and not ended."""
    return _runs(api, FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=ACTIVE))))


def cancel_active(api: SyncPrefectClient, *, seconds: float) -> list[FlowRun]:
    """Ask all active runs to end and wait; those that still have not after so many seconds."""
    deadline = time.monotonic() + seconds
    asked: set[UUID] = set()
    while (active := active_runs(api)) and time.monotonic() < deadline:
        for run in active:
            if run.id not in asked:
                asked.add(run.id)
                api.set_flow_run_state(run.id, Cancelling(message="`abcd down` stops the platform"))
        time.sleep(0.3)
    return active


def settle(api: SyncPrefectClient, how: Literal["Cancelled", "Crashed"], why: str) -> list[str]:
    """Give runs whose process is gone, and runs within them, their last state: nobody else ever would.

    Only while no worker runs. Names of the runs.
    """
    state: State[None] = Cancelled(message=why) if how == "Cancelled" else Crashed(message=why)
    left = active_runs(api)
    settled: list[str] = []
    while left:
        for run in left:
            api.set_flow_run_state(run.id, state, force=True)
            settled.append(run.name)
        within = FlowRunFilter(
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id for run in left]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=ACTIVE)),
        )
        left = api.read_flow_runs(flow_run_filter=within)
    return settled


def offer(api: SyncPrefectClient, ui_url: str) -> Offer:
    """What there is, runs, and comes next (of each deployment)."""
    found = {deployment.id: deployment for deployment in api.read_deployments(work_pool_filter=_OURS)}
    later = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        expected_start_time=FlowRunFilterExpectedStartTime(after_=datetime.now(UTC)),
    )
    nearest: dict[UUID | None, FlowRun] = {}
    for run in _runs(api, later):
        nearest.setdefault(run.deployment_id, run)

    def told(run: FlowRun) -> Run:
        deployment = found.get(run.deployment_id) if run.deployment_id else None
        at = run.start_time or run.expected_start_time
        return Run(name=run.name, deployment=deployment.name if deployment else "", state=run.state_name or "", at=at)

    return Offer(
        deployments=sorted(
            (
                Deployment(
                    name=each.name,
                    url=f"{ui_url}/deployments/deployment/{each.id}",
                    schedule=", ".join(_schedule(item.schedule) for item in each.schedules if item.active),
                )
                for each in found.values()
            ),
            key=lambda each: each.name,
        ),
        running=[told(run) for run in active_runs(api)],
        planned=[told(run) for run in nearest.values()],
    )


def _schedule(schedule: object) -> str:
    return f"{getattr(schedule, 'cron', schedule)} {getattr(schedule, 'timezone', '') or ''}".strip()


def _runs(api: SyncPrefectClient, which: FlowRunFilter) -> list[FlowRun]:
    return api.read_flow_runs(flow_run_filter=which, work_pool_filter=_OURS, sort=FlowRunSort.EXPECTED_START_TIME_ASC)
