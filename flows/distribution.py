"""Stage D: from weights to a published release."""

import time
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State, TaskRun

from flows import account, present, terminal
from flows.graph import require_current
from flows.stage import stage
from flows.step import run_step
from infra.settings import Settings
from infra.storage import StorageError
from tasks.__main__ import STEPS
from tasks.distribution.markdown import literal
from tasks.distribution.publish import PublishedRelease
from tasks.distribution.publish import publish as publish_release


@flow(name="distribution")
def distribution() -> PublishedRelease:
    """Export the model, judge it against the champion, publish it."""
    with stage("distribution"):
        run_step("export")
        run_step("gate")
        return publish()


def _may_pass(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """Whether it was the store that failed: one that is down comes back. All else stays as it is."""
    return isinstance(state.data, StorageError)


# Publishing twice makes one release, so that a store that is away for two minutes costs nothing but these.
@task(
    name="publish", task_run_name="publish", persist_result=False,
    retries=4, retry_delay_seconds=[10, 20, 40, 60], retry_condition_fn=_may_pass,
)  # fmt: skip
def publish() -> PublishedRelease:
    """Append the release to the registry: an effect outside, so no step of the graph."""
    settings, started = Settings.load(), time.monotonic()
    terminal.active().start("publish")
    require_current(list(STEPS), settings)
    release = publish_release(settings)
    said = present.describe(release)
    if run := account.active():
        run.release = release
    present.attempt(create_markdown_artifact, f"# {release.ref}\n\n{literal(said)}", key="release")
    outcome = "ran" if release.is_new else "current"
    terminal.active().finish("publish", outcome, time.monotonic() - started, f"{release.ref}  {said}")
    return release
