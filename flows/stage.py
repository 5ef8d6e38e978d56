"""What the four stage flows share: the lock, the order of steps, and the look upstream when one runs alone."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.context import FlowRunContext

from flows import terminal
from flows.account import account
from flows.graph import require_current
from flows.keep import begin_with_last
from infra.lock import workspace_lock
from infra.settings import Settings
from infra.workspace import prepare
from tasks.__main__ import STEPS


@contextmanager
def stage(name: str) -> Iterator[Settings]:
    """Hold the workspace for one stage; alone, first check that everything before it is current.

    Raises:
        StaleUpstreamError: a stage before this one has something to run.
    """
    context = FlowRunContext.get()
    alone = context is None or context.flow_run is None or context.flow_run.parent_task_run_id is None
    with account(name):
        settings = Settings.load()
        prepare(settings)
        with _held(name, settings, alone=alone):
            yield settings


@contextmanager
def _held(name: str, settings: Settings, *, alone: bool) -> Iterator[None]:
    with workspace_lock(settings.state, what=f"flow {name}"):
        if alone:
            begin_with_last(settings)
            stages = list(dict.fromkeys(STEPS.values()))
            before = stages[: stages.index(name)]
            require_current([step for step, its_stage in STEPS.items() if its_stage in before], settings)
        terminal.active().stage(name)
        yield
