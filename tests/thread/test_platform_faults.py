"""What a run of the platform survives: its server killed, its database gone, its S3 store down for a minute.

One platform on PostgreSQL with registry and DVC remote on S3; three releases, each made through a fault.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from infra.storage import s3_filesystem
from tests.conftest import Clone
from tests.faults.proxy import Proxy
from tests.faults.s3 import ENDPOINT, s3_server
from tests.platforms import ENDED, Platform
from tests.postgres import Postgres, postgres_server

# A quiet machine needs a minute for a test, one that is busy with six others ten.
SECONDS = 600
pytestmark = [pytest.mark.thread, pytest.mark.long, pytest.mark.timeout(2 * SECONDS)]

OUTAGE_SECONDS = 60


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """An S3 server with a bucket, behind what can take it away."""
    with s3_server(tmp_path_factory.mktemp("s3") / "log"):
        s3_filesystem("s3://platform")[0].mkdir("platform")
        with Proxy(os.environ[ENDPOINT], part="/remote/", how="down", at=0, times=0, seconds=OUTAGE_SECONDS) as proxy:
            yield proxy


@pytest.fixture(scope="module")
def up(small_clone: Clone, database: Postgres, store: Proxy) -> Iterator[Platform]:
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    small_clone.environment |= aws | {
        ENDPOINT: store.url, "ABCD_REGISTRY": "s3://platform/registry", "ABCD_REMOTE": "s3://platform/remote",
    }  # fmt: skip
    platform = Platform(small_clone, PREFECT_API_DATABASE_CONNECTION_URL=database.url)
    platform.up()
    yield platform
    platform.down()


def begin(up: Platform, seed: int) -> str:
    """Start a run that trains, and wait until it does."""
    run = up.trigger("pipeline", overrides={"train": {"seed": seed, "tokens": 16_384}})
    training = {"task_runs": {"name": {"any_": ["train"]}, "state": {"type": {"any_": ["RUNNING"]}}}}
    deadline = time.monotonic() + SECONDS
    while not up.call("/task_runs/filter", training):
        assert up.run_state(run)["type"] in ("SCHEDULED", "PENDING", "RUNNING"), up.log(run)
        assert time.monotonic() < deadline, up.log(run)
        time.sleep(0.2)
    return run


def ended_well(up: Platform, run: str) -> None:
    """Wait for the end of a run; the API may be away meanwhile: that is the fault."""
    state: dict[str, str] = {"type": ""}
    deadline = time.monotonic() + SECONDS
    while state["type"] not in ENDED:
        assert time.monotonic() < deadline, f"the run is {state} after {SECONDS} s"
        time.sleep(0.2)
        with suppress(OSError):
            state = up.run_state(run)
    assert state["type"] == "COMPLETED", up.log(run)


def released(up: Platform) -> int:
    """How many releases there are, every byte of them read, and never two champions."""
    assert "no problem" in up.clone.run("abcd", "verify")
    found = json.loads(up.clone.run("abcd", "releases", "--json"))
    assert sum("champion" in release["aliases"] for release in found) <= 1  # the gate may refuse so short a training
    return len(found)


def test_a_server_killed_in_a_run_is_started_again_and_the_run_completes(up: Platform):
    before, run = released(up), begin(up, seed=1)
    killed = up.state()["server"]["pid"]
    os.kill(killed, signal.SIGKILL)
    ended_well(up, run)
    assert up.state()["server"]["pid"] != killed
    assert released(up) == before + 1


def test_a_database_restarted_in_a_run_does_not_end_it(up: Platform, database: Postgres):
    before, run = released(up), begin(up, seed=2)
    database.restart()
    ended_well(up, run)
    assert released(up) == before + 1


def test_a_store_down_for_a_minute_in_publish_is_waited_for(up: Platform, store: Proxy):
    before, run = released(up), begin(up, seed=3)
    store.at, store.times = store.seen + 3, 1_000_000
    ended_well(up, run)
    assert store.spoiled > 0
    assert released(up) == before + 1
