"""`abcd up`, `status`, `down`, as a user types them: all is there, runs, and nothing is left."""

import json
import os
import signal
import sqlite3
import urllib.error
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from infra.processes import is_running
from tests.conftest import ROOT, Clone, make_clone
from tests.platforms import Platform
from tests.postgres import postgres_server
from tests.processes import alive_after, command_line

pytestmark = pytest.mark.thread

# A flow that works until it is told to end, in a guarded child as a step does.
SLOW = '''
import subprocess, sys, time
from prefect import flow

@flow(name="slow")
def slow() -> None:
    """Sleep."""
    child = subprocess.Popen(
        [sys.executable, "-m", "flows.guard", sys.executable, "-c", "import time; time.sleep(600)"],
        stdin=subprocess.PIPE, start_new_session=True,
    )
    try:
        child.wait()
    finally:
        child.stdin.close()
        child.wait()
'''
OFFERED = YAML(typ="safe").load((ROOT / "prefect.yaml").read_text())["deployments"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone that also offers a flow that does not end."""
    clone = make_clone(tmp_path_factory.mktemp("platform") / "abcd")
    (clone.root / "flows" / "slow.py").write_text(SLOW)
    with (clone.root / "prefect.yaml").open("a") as file:
        file.write("  - name: slow\n    entrypoint: flows/slow.py:slow\n    work_pool: *pool\n")
    clone.run("git", "add", ".")
    clone.run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "slow")
    return clone


@pytest.fixture(scope="module")
def said_and_up(workspace: Clone) -> Iterator[tuple[str, Platform]]:
    platform = Platform(workspace)
    said = platform.up()
    yield said, platform
    platform.down()


@pytest.fixture(scope="module")
def up(said_and_up: tuple[str, Platform]) -> Platform:
    return said_and_up[1]


def test_all_deployments_are_there_with_their_addresses(said_and_up: tuple[str, Platform]):
    said, platform = said_and_up
    status = platform.status()
    assert {each["name"] for each in status["deployments"]} == {each["name"] for each in OFFERED} | {"slow"}
    assert all(each["url"] in said for each in status["deployments"])
    assert all(process["runs"] and is_running(process["pid"]) for process in status["processes"].values())
    assert (status["state"], status["healthy"]) == ("up", True)


def test_every_deployment_runs_one_at_a_time_and_says_what_the_next_one_does(up: Platform):
    found = {each["name"]: each for each in up.call("/deployments/filter", {})}
    for offered in OFFERED:
        deployment = found[offered["name"]]
        assert deployment["global_concurrency_limit"]["limit"] == 1, offered["name"]
        assert deployment["concurrency_options"]["collision_strategy"] in ("ENQUEUE", "CANCEL_NEW"), offered["name"]
        assert deployment["enforce_parameter_schema"] is True


def test_the_server_has_planned_the_next_nights(up: Platform):
    scheduled = {each["name"] for each in OFFERED if each.get("schedules")}
    assert scheduled == {"nightly"}
    found = up.call("/deployments/filter", {"deployments": {"name": {"any_": ["nightly"]}}})[0]
    assert found["schedules"][0]["schedule"]["timezone"]
    runs = up.call("/flow_runs/filter", {"deployments": {"id": {"any_": [found["id"]]}}})
    starts = sorted(datetime.fromisoformat(run["expected_start_time"]) for run in runs)
    assert len(starts) >= 2
    assert all(start > datetime.now(UTC) and start.minute == 0 for start in starts)
    assert "nightly" in {run["deployment"] for run in up.status()["planned"]}


def test_a_run_started_as_from_the_ui_completes(up: Platform):
    run = up.trigger("algorithm")
    assert up.wait_for(run)["type"] == "COMPLETED", up.log(run)
    up.wait_for_line(run, "blueprint")


def test_a_night_that_would_start_hours_late_is_skipped(up: Platform):
    found = up.call("/deployments/filter", {"deployments": {"name": {"any_": ["nightly"]}}})[0]
    due = (datetime.now(UTC) - timedelta(hours=5)).isoformat()
    body = {"state": {"type": "SCHEDULED", "state_details": {"scheduled_time": due}}}
    run = up.call(f"/deployments/{found['id']}/create_flow_run", body)["id"]
    state = up.wait_for(run)
    assert (state["type"], state["name"]) == ("COMPLETED", "Skipped"), up.log(run)
    assert "5.0 h late, more than the 3 h" in state["message"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"train": {"seed": -1}}, "-1 is less than the minimum of 0"),
        ({"train": {"sed": 1}}, "'sed' was unexpected"),
        ({"blueprint": {"preset": "huge"}}, "'huge' is not one of"),
    ],
)
def test_a_bad_value_is_refused_before_there_is_a_run(up: Platform, overrides: dict[str, object], said: str):
    code, words = up.refusal("pipeline", overrides=overrides)
    assert code == 409
    assert said in words


def test_an_unknown_parameter_is_refused_by_the_run_itself(up: Platform):
    state = up.wait_for(up.trigger("pipeline", overides={}))
    assert (state["type"], state["name"]) == ("FAILED", "Refused")
    assert state["message"].startswith("unknown parameter overides; did you mean 'overrides'?")


def test_the_form_explains_every_field(up: Platform):
    found = up.call("/deployments/filter", {"deployments": {"name": {"any_": ["pipeline"]}}})[0]
    definitions = found["parameter_openapi_schema"]["definitions"]
    fields = [(name, key, field) for name, each in definitions.items() for key, field in each["properties"].items()]
    assert len(fields) > 40
    assert [(name, key) for name, key, field in fields if not field.get("description")] == []


def test_a_second_up_says_what_already_runs(up: Platform):
    said = up.abcd("up")
    assert said.startswith(f"already up, as process {up.state()['supervisor']['pid']}")
    assert f"http://127.0.0.1:{up.port}" in said


def test_what_dies_alone_is_started_again_and_its_run_ends(up: Platform):
    run = up.trigger("slow")
    up.wait_for(run, {"RUNNING"})
    worker = up.state()["worker"]["pid"]
    os.kill(worker, signal.SIGKILL)
    state = up.wait_for(run)
    assert (state["type"], state["message"]) == ("CRASHED", "the worker ended while it ran; run it again")
    again = up.trigger("algorithm")
    assert up.wait_for(again)["type"] == "COMPLETED", up.log(again)
    assert up.state()["worker"]["pid"] != worker


def test_down_cancels_what_runs_and_leaves_nothing(up: Platform):
    run = up.trigger("slow")
    up.wait_for(run, {"RUNNING"})
    processes = up.processes()
    assert any("time.sleep(600)" in command_line(pid) for pid in processes)
    assert "none is left" in up.down()
    assert alive_after(processes, 0) == []
    assert up.status(code=3) == {"state": "down"}
    assert "nothing to stop" in up.down()
    with closing(sqlite3.connect(up.clone.root / ".abcd" / "prefect" / "prefect.db")) as database:
        states = database.execute("SELECT state_type FROM flow_run WHERE id = ?", (run,)).fetchall()
    assert states == [("CANCELLED",)]


@pytest.mark.long
def test_ctrl_c_ends_all_of_it(workspace: Clone):
    platform = Platform(workspace)
    process = workspace.start("abcd", "up", **platform.environment)
    platform.wait_until_ready()
    run = platform.trigger("slow")
    platform.wait_for(run, {"RUNNING"})
    processes = platform.processes()
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "stopped; nothing of it runs any more" in said
    assert alive_after(processes, 0) == []
    assert platform.state() == {}


@pytest.mark.long
def test_sigkill_of_the_parent_leaves_no_process_and_no_run_that_runs_for_ever(workspace: Clone):
    platform = Platform(workspace)
    platform.up()
    run = platform.trigger("slow")
    platform.wait_for(run, {"RUNNING"})
    processes = platform.processes()
    os.kill(platform.state()["supervisor"]["pid"], signal.SIGKILL)
    assert alive_after(processes, 15.0) == []
    assert platform.status(code=3) == {"state": "stale"}
    assert platform.up().startswith("the last `abcd up` was killed")
    try:
        assert platform.run_state(run)["message"] == "the platform ended while it ran; run it again"
    finally:
        platform.down()


@pytest.mark.long
def test_other_machines_are_let_in_with_an_auth_string_that_nothing_shows(workspace: Clone, tmp_path: Path):
    secret = "someone:canary-5d1f"
    (tmp_path / "auth").write_text(f"{secret}\n")
    platform = Platform(workspace, ABCD_AUTH_FILE=str(tmp_path / "auth"), ABCD_HOST="0.0.0.0")
    said = platform.up()
    try:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            platform.call("/flow_runs/filter", {})
        platform.auth = secret
        said_without = Platform(workspace).abcd("status", code=1)
        assert "answers 401; if it asks for an auth string, set PREFECT_SERVER_API_AUTH_STRING" in said_without
        run = platform.trigger("algorithm")
        assert platform.wait_for(run)["type"] == "COMPLETED", platform.log(run)
        lines = [command_line(pid) for pid in platform.processes()]
        logs = [log.read_text(errors="replace") for log in (workspace.root / ".abcd" / "prefect").glob("*.log")]
        for text in [said, json.dumps(platform.state()), platform.log(run), *lines, *logs]:
            assert "canary" not in text
    finally:
        platform.down()


@pytest.mark.long
def test_on_postgresql_nights_are_planned_and_a_run_completes(workspace: Clone):
    with postgres_server() as database:
        platform = Platform(workspace, PREFECT_API_DATABASE_CONNECTION_URL=database.url)
        platform.up()
        try:
            assert "nightly" in {run["deployment"] for run in platform.status()["planned"]}
            run = platform.trigger("algorithm")
            assert platform.wait_for(run)["type"] == "COMPLETED", platform.log(run)
            environment = psutil.Process(platform.state()["worker"]["pid"]).environ()
            assert not [name for name in environment if "DATABASE" in name]
        finally:
            platform.down()
