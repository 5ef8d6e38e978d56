"""People are told of news by a webhook; a message that cannot be sent is a warning without the secret."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from pydantic import SecretStr

from flows import doctor, notify
from flows.summary import Summary, summary_of
from infra.settings import Settings
from tasks.report import StepError
from tests.flows.conftest import release
from tests.receiver import Receiver, receiving

# Apprise still asks for a module that Python 3.13 has no more, and does without it there.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

SECRET = "hunter2-canary"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with receiving() as server:
        yield server


@pytest.fixture
def summary(settings: Settings, ended) -> Callable[[str], Summary]:
    """A summary of a run that ended so."""

    def make(how: str) -> Summary:
        account = ended()
        if how == "failed":
            account.failed("gate", 1.0, StepError("expected a champion, found none; look again"))
        elif how != "done":
            account.release = release(how, is_new=how != "unchanged")
        return summary_of(account, settings)

    return make


def using(settings: Settings, url: str, **more: object) -> Settings:
    return settings.model_copy(update={"notify": SecretStr(url), **more})


def test_a_webhook_gets_words_and_facts(receiver: Receiver, settings: Settings, summary):
    notify.send(summary("refuse"), using(settings, f"http://127.0.0.1:{receiver.server_port}/{SECRET}"))
    [posted] = receiver.posted
    assert receiver.paths == [f"/{SECRET}"]
    assert posted["subject"] == "Refused: notes@v3 was refused"
    assert posted["text"].splitlines()[0] == "because"
    assert posted["text"].splitlines()[-1] == f"Report: {settings.runs}/amber-otter/report.html"
    assert "abcd promote notes@v3" in posted["text"]
    assert posted["state"] == "refused"
    assert (posted["release"], posted["bits_per_byte"]) == ("notes@v3", "2.000000")


def test_any_service_that_apprise_knows_gets_the_same_words(receiver: Receiver, settings: Settings, summary):
    notify.send(summary("failed"), using(settings, f"json://user:{SECRET}@127.0.0.1:{receiver.server_port}/hook"))
    [posted] = receiver.posted
    assert posted["title"] == "Failed: python-stdlib failed at gate"
    assert posted["message"].startswith("expected a champion, found none; look again")
    assert posted["type"] == "failure"


@pytest.mark.parametrize(("how", "news"), [("promote", 1), ("ask", 1), ("unchanged", 0), ("done", 0)])
def test_only_news_is_told_unless_asked(receiver: Receiver, settings: Settings, summary, how: str, news: int):
    url = f"http://127.0.0.1:{receiver.server_port}/"
    notify.send(summary(how), using(settings, url))
    assert len(receiver.posted) == news
    notify.send(summary(how), using(settings, url, notify_always=True))
    assert len(receiver.posted) == news + 1


def test_without_the_setting_nobody_is_told(settings: Settings, summary):
    notify.send(summary("failed"), settings)


@pytest.mark.parametrize(
    ("url", "status", "said"),
    [
        ("http://127.0.0.1:{port}/{secret}", 500, "the webhook answered 500"),
        ("json://user:{secret}@127.0.0.1:{port}/hook", 403, "not delivered"),
        ("http://127.0.0.1:{closed}/{secret}", 200, "ConnectError"),
        ("json://u:{secret}@127.0.0.1:{closed}/hook", 200, "not delivered"),
        ("carrier-pigeon://{secret}", 200, "found carrier-pigeon:"),
        ("{secret}", 200, "found a text without a scheme"),
    ],
)
def test_a_message_that_cannot_be_sent_is_a_warning_without_the_secret(
    receiver: Receiver, settings: Settings, summary, warnings_of, caplog, url: str, status: int, said: str
):
    receiver.status = status
    idle = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    closed = idle.server_port
    idle.server_close()
    given = url.format(port=receiver.server_port, closed=closed, secret=SECRET)
    notify.send(summary("failed"), using(settings, given))
    [warning] = [text for text in warnings_of() if text.startswith("nobody was notified")]
    assert said in warning
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("url", "state", "found"),
    [
        (f"https://hooks.example/{SECRET}", "ok", "a webhook is told"),
        (f"https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/{SECRET[:-7]}{'x' * 17}", "ok", "Slack is told"),
        ("block:slack-webhook/team", "ok", "a block saved in Prefect is told"),
        (f"mailtos://me:{SECRET}@mail.example", "ok", "E-Mail is told"),
        (f"pigeon://{SECRET}", "fail", "found pigeon:"),
        ("", "ok", "nobody is told"),
    ],
)
def test_doctor_says_who_is_told_and_sends_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capfd, url: str, state: str, found: str
):
    monkeypatch.setenv("ABCD_NOTIFY", url)
    [finding] = [check() for check in doctor.CHECKS if check.__name__ == "_notify"]
    assert (finding.state, found in finding.found) == (state, True), finding
    assert SECRET not in f"{finding}{capfd.readouterr()}"


def test_the_setting_is_never_shown(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ABCD_NOTIFY", f"https://hooks.example/{SECRET}")
    found = Settings(workspace=settings.workspace)
    assert SECRET not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"
    assert found.notify.get_secret_value().endswith(SECRET)
