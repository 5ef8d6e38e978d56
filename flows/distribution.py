"""Stage D: from weights to a published release."""

import time

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from flows import account, present, terminal
from flows.graph import require_current
from flows.stage import stage
from flows.step import run_step
from infra.settings import Settings
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


@task(name="publish", task_run_name="publish", persist_result=False)
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
