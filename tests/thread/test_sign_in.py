"""A person opens the UI of a platform with an auth string: must sign in, is refused with another, then sees all of it.

What was typed stays in the browser: no file, log, command line or answer of the platform tells it.
"""

import base64
import json
import secrets
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import Clone
from tests.platforms import Platform
from tests.processes import command_line
from tests.screens import SECONDS, Screen

pytestmark = [pytest.mark.thread, pytest.mark.long, pytest.mark.timeout(900)]

# With what a URL, a shell and a header would not take as it is.
AUTH = f"someone:canary $'&%+:{secrets.token_hex(8)}"
VARIABLE = "PREFECT_SERVER_API_AUTH_STRING"


@pytest.fixture(scope="module")
def up(small_clone: Clone) -> Iterator[Platform]:
    """A platform that lets in who knows the auth string."""
    platform = Platform(small_clone, **{VARIABLE: AUTH})
    platform.said = platform.up()
    yield platform
    platform.down()


@pytest.fixture(scope="module")
def opened(up: Platform, screen: Screen) -> Page:
    """The address that `abcd up` prints beside `pipeline`, opened; the page Login is what is there."""
    screen.page.goto(deployment(up))
    field(screen.page).wait_for()
    screen.keep("login-1-asked")
    return screen.page


def deployment(up: Platform) -> str:
    address: str = next(each["url"] for each in up.status()["deployments"] if each["name"] == "pipeline")
    return address


def field(page: Page):
    return page.get_by_placeholder("admin:pass")


def sign_in(page: Page, typed: str) -> int:
    """Type it and press Login; the code of the server's answer."""
    field(page).fill(typed)
    with page.expect_response(lambda answer: answer.url.endswith("/api/admin/version")) as answer:
        page.get_by_role("button", name="Login", exact=True).click()
    return answer.value.status


def test_what_to_type_is_said_and_the_secret_is_not(up: Platform):
    for said in (up.said, up.abcd("status")):
        assert "type the whole auth string, user:password, into its one field" in said
        assert AUTH.partition(":")[2] not in said


def test_before_the_login_nothing_is_seen(opened: Page):
    assert urlsplit(opened.url).path == "/login"
    assert field(opened).get_attribute("type") == "password"
    assert opened.get_by_text("pipeline", exact=True).count() == 0


@pytest.mark.parametrize(
    "wrong", ["someone:wrong", AUTH.partition(":")[2], AUTH + "x"], ids=["another", "half", "more"]
)
def test_a_wrong_string_is_refused(opened: Page, screen: Screen, wrong: str):
    assert sign_in(opened, wrong) == 401
    expect(opened.get_by_text("Authentication failed.").last).to_be_visible(timeout=SECONDS * 1000)
    screen.keep("login-2-refused")
    assert urlsplit(opened.url).path == "/login"
    assert opened.evaluate("localStorage.getItem('prefect-password')") is None


def test_the_right_one_leads_to_the_page_that_was_asked_for_and_to_all_deployments(
    opened: Page, screen: Screen, up: Platform
):
    assert sign_in(opened, AUTH) == 200
    screen.button("Run").wait_for()
    assert opened.url.startswith(deployment(up))
    opened.goto(f"{up.url.removesuffix('/api')}/deployments")
    for each in up.status()["deployments"]:
        opened.get_by_role("link", name=each["name"], exact=True).first.wait_for()
    screen.keep("login-3-deployments")


def test_signed_in_a_run_is_started_by_hand_and_ends(opened: Page, screen: Screen, up: Platform):
    """What is written, and what the worker and the run ask, is let in too."""
    address = next(each["url"] for each in up.status()["deployments"] if each["name"] == "algorithm")
    opened.goto(address)
    screen.button("Run").click()
    opened.get_by_text("Quick run").first.click()
    deadline = time.monotonic() + SECONDS
    while not (found := up.call("/flow_runs/filter", {"flows": {"name": {"any_": ["algorithm"]}}})):
        assert time.monotonic() < deadline, "the button made no run"
        time.sleep(0.2)
    run = str(found[0]["id"])
    assert up.wait_for(run)["type"] == "COMPLETED", up.log(run)
    opened.goto(f"{up.url.removesuffix('/api')}/runs/flow-run/{run}")
    expect(opened.get_by_text("Completed").first).to_be_visible(timeout=SECONDS * 1000)
    screen.keep("login-4-run")


def test_nothing_tells_what_was_typed(up: Platform, screen: Screen, opened: Page):
    words = [AUTH.partition(":")[2].encode(), base64.b64encode(AUTH.encode())]
    files = {str(path): path.read_bytes() for path in up.clone.root.rglob("*") if path.is_file()}
    assert {"server.log", "worker.log", "prefect.db", "platform.json"} <= {path.rpartition("/")[2] for path in files}
    lines = "\n".join(command_line(pid) for pid in up.processes())
    answers = json.dumps(
        [up.call(f"{path}/filter", {}) for path in ("/logs", "/flow_runs", "/artifacts", "/variables")]
    )
    files |= {"command lines": lines.encode(), "API": answers.encode(), "address": opened.url.encode()}
    assert [name for name, content in files.items() if any(word in content for word in words)] == []
    assert screen.refused == []
