"""The event of a night that found drift and trained nothing starts a run; a server with its services sees to that."""

import os
import sys
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest

from flows import server
from flows.night import DRIFT_EVENT
from infra.settings import Settings
from tests.conftest import Clone, make_clone
from tests.platforms import Platform, free_port

pytestmark = [pytest.mark.thread, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A server that offers `pipeline`, and no worker that would run it."""
    folder = tmp_path_factory.mktemp("drift")
    clone: Clone = make_clone(folder / "abcd")
    settings, port, log = Settings(workspace=clone.root), free_port(), folder / "server.log"
    settings.prefect_home.mkdir(parents=True)
    before = dict(os.environ)
    server.configure(settings, quiet=True)
    guarded = server.start(settings, host="127.0.0.1", port=port, log=log, environment={}, services=True)
    platform = Platform(clone)
    platform.url = f"http://127.0.0.1:{port}/api"
    try:
        server.wait_until_healthy(platform.url, guarded, log)
        environment = {**clone.environment, "PREFECT_API_URL": platform.url, "PREFECT_HOME": str(settings.prefect_home)}
        platform.call("/work_pools/", {"name": "abcd", "type": "process"})
        deploy = (sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--name", "pipeline")
        clone.run(*deploy, **{k: v for k, v in environment.items() if clone.environment.get(k) != v})
        yield platform
    finally:
        server.stop(guarded)
        os.environ.clear()
        os.environ.update(before)


def emit(platform: Platform, *, retrained: str) -> None:
    """What a night tells the server."""
    resource = {"prefect.resource.id": "abcd.model.docs", "abcd.retrained": retrained}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    platform.call(
        "/events", [{"occurred": now, "event": DRIFT_EVENT, "resource": resource, "id": str(uuid4()), "payload": {}}]
    )


def runs(platform: Platform, *, wait_seconds: float) -> list[dict]:
    deadline, found = time.monotonic() + wait_seconds, []
    while not found and time.monotonic() < deadline:
        found = platform.call("/flow_runs/filter", {})
        time.sleep(0.3)
    return found


def test_drift_that_nobody_trained_on_starts_a_run_from_the_champion(offered: Platform):
    emit(offered, retrained="yes")
    assert runs(offered, wait_seconds=6) == []
    emit(offered, retrained="no")
    [run] = runs(offered, wait_seconds=60)
    assert run["parameters"] == {"overrides": {"discover": {"base": "champion"}}}
