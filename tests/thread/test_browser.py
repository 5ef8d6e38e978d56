"""A person in the Prefect UI: fills the form of `pipeline`, starts a run, watches it, sees what came out.

Debian's Chromium with every other host blocked, secrets planted in the environment: the run that the browser starts
must show what it made, ask nobody outside, and tell no secret.
"""

import json
import re
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
from playwright.sync_api import expect

from tests.conftest import Clone
from tests.platforms import Platform
from tests.processes import command_line
from tests.screens import SECONDS, Screen

pytestmark = [pytest.mark.thread, pytest.mark.long, pytest.mark.timeout(1200)]

# A busy machine runs in minutes what takes one on a quiet machine.
RUN_SECONDS = 900
# Made anew each time: a clone of this project has this file, too.
CANARIES = {
    "AWS_ACCESS_KEY_ID": f"canary-{secrets.token_hex(8)}",
    "AWS_SECRET_ACCESS_KEY": f"canary-{secrets.token_hex(8)}",
    "ABCD_NOTIFY": f"json://127.0.0.1:9/canary-{secrets.token_hex(8)}",
    "COMPANY_TOKEN": f"canary-{secrets.token_hex(8)}",
}


@pytest.fixture(scope="module")
def up(small_clone: Clone) -> Iterator[Platform]:
    """A platform with secrets in its environment."""
    platform = Platform(small_clone, **CANARIES)
    platform.said = platform.up()
    yield platform
    platform.down()


@pytest.fixture(scope="module")
def made(up: Platform, screen: Screen) -> str:
    """Id of the run that the browser started, once it has ended."""
    open_pipeline(up, screen)
    fill_form(screen)
    run = submit(up, screen)
    watch(up, screen, run)
    return run


def open_pipeline(up: Platform, screen: Screen) -> None:
    """The address that `abcd up` prints beside the name."""
    address = next(each["url"] for each in up.status()["deployments"] if each["name"] == "pipeline")
    assert address in up.said
    screen.page.goto(address)
    screen.button("Run").wait_for()
    screen.keep("1-deployment")


def fill_form(screen: Screen) -> None:
    """Run, custom run, three values. Its inputs are waited for: its button is there before the form is."""
    screen.button("Run").click()
    screen.page.get_by_text("Custom run").first.click()
    screen.button("Overrides").click()
    screen.button("TrainOverrides").click()
    screen.fill("Seed", "int", "7")
    screen.fill("Tokens", "int", "16384")
    screen.button("DiscoverOverrides").click()
    screen.fill("Name", "str", "from-the-browser")
    screen.keep("2-form")
    # Leaving the field moves what is below it: a click before that may fall beside the button.
    screen.page.keyboard.press("Tab")


def submit(up: Platform, screen: Screen) -> str:
    """Send the form and wait for its run; a click that the busy page did not take is made again."""
    deadline = time.monotonic() + SECONDS
    clicked = 0.0
    while not (found := up.call("/flow_runs/filter", {"flows": {"name": {"any_": ["pipeline"]}}})):
        assert time.monotonic() < deadline, "the form made no run"
        if time.monotonic() > clicked + 20 and screen.button("Submit").is_visible():
            screen.button("Submit").click()
            clicked = time.monotonic()
        time.sleep(0.2)
    assert len(found) == 1
    return str(found[0]["id"])


def watch(up: Platform, screen: Screen, run: str) -> None:
    screen.page.goto(f"{up.url.removesuffix('/api')}/runs/flow-run/{run}")
    screen.page.get_by_text("name: from-the-browser").first.wait_for()
    screen.keep("3-log")
    state = up.wait_for(run, seconds=RUN_SECONDS)
    assert state["type"] == "COMPLETED", up.log(run)


def test_the_run_is_seen_complete_with_its_log(up: Platform, screen: Screen, made: str):
    expect(screen.page.get_by_text("Completed").first).to_be_visible(timeout=SECONDS * 1000)
    screen.page.get_by_text("Finished in state Completed").first.wait_for()
    screen.keep("4-complete")


def test_the_values_of_the_form_are_what_was_run(up: Platform, made: str):
    overrides = up.call(f"/flow_runs/{made}")["parameters"]["overrides"]
    filled = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in overrides.items()
        if values
    }
    assert filled == {"discover": {"name": "from-the-browser"}, "train": {"seed": 7, "tokens": 16_384}}
    assert "from-the-browser@v1" in up.clone.run("abcd", "releases")


def test_the_artifact_shows_its_picture(up: Platform, screen: Screen, made: str):
    found = up.call("/artifacts/latest/filter", {"artifacts": {"key": {"any_": ["train-report"]}}})
    screen.page.goto(f"{up.url.removesuffix('/api')}/artifacts/artifact/{found[0]['latest_id']}")
    picture = screen.page.locator("img[src^='data:image/png;base64,']").first
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    screen.keep("5-picture")


def test_the_ui_asks_no_other_host(screen: Screen, made: str):
    assert screen.refused == []


def test_the_second_ui_which_calls_an_analytics_host_is_not_there(up: Platform, screen: Screen, made: str):
    address = up.url.removesuffix("/api")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{address}/ui-settings") as answer:
        assert json.load(answer)["available_uis"] == ["v1"]
    screen.page.goto(f"{address}/v2/dashboard")
    screen.page.get_by_text("Flow Runs").first.wait_for()
    assert screen.page.get_by_text("V2 UI").count() == 0
    assert screen.refused == []


def test_all_listen_on_loopback_only(up: Platform, made: str):
    addresses: set[str] = set()
    for pid in up.processes():
        with suppress(psutil.NoSuchProcess):  # some live for a moment only
            connections = psutil.Process(pid).net_connections("inet")
            addresses |= {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}
    assert addresses == {"127.0.0.1"}


def told(text: bytes) -> list[str]:
    """The planted secrets that a text contains."""
    words = [re.findall(r"canary-[\w-]+", value)[0] for value in CANARIES.values()]
    return [word for word in words if word.encode() in text]


def test_the_search_for_secrets_finds_one(up: Platform, made: str):
    environment = psutil.Process(up.state()["worker"]["pid"]).environ()
    assert {name for name in CANARIES if told(environment.get(name, "").encode())} >= {
        "AWS_SECRET_ACCESS_KEY", "ABCD_NOTIFY", "COMPANY_TOKEN",
    }  # fmt: skip


def test_no_file_of_the_workspace_tells_a_secret(up: Platform, made: str):
    files = [path for path in up.clone.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {"prefect.db", "worker.log", "server.log", "params.yaml"} <= {path.name for path in files}
    assert {str(path): told(path.read_bytes()) for path in files if told(path.read_bytes())} == {}


def test_no_object_of_git_tells_a_secret(up: Platform, made: str):
    objects = subprocess.run(
        ["git", "cat-file", "--batch", "--batch-all-objects"], cwd=up.clone.root, capture_output=True, check=True
    ).stdout
    assert len(objects) > 100_000
    assert told(objects) == []


@pytest.mark.parametrize(
    "path",
    ["/logs", "/artifacts", "/flow_runs", "/task_runs", "/deployments", "/work_pools", "/block_documents", "/events",
     "/variables", "/automations"],
)  # fmt: skip
def test_the_api_tells_no_secret(up: Platform, made: str, path: str):
    found = up.call(f"{path}/filter", {})
    assert told(repr(found).encode()) == []
    assert found or path in ("/block_documents", "/variables", "/automations")


def test_what_is_printed_and_who_runs_tells_no_secret(up: Platform, made: str):
    lines = [command_line(pid) for pid in up.processes()]
    assert told("\n".join([up.said, up.abcd("status"), up.abcd("status", "--json"), *lines]).encode()) == []
