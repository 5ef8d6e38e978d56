"""A file by its URL, from a server on loopback that may be busy, break off, know no date or send too much."""

import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks.big_data import web
from tasks.big_data.manifest import read_manifest
from tasks.report import StepError
from tests.receiver import serving

OLD = "Wed, 01 Jan 2020 00:00:00 GMT"


class Server(ThreadingHTTPServer):
    """Files by path, each with headers, and answers that come before them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.first: list[int | str] = []
        self.asked: list[str] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.asked.append(f"{self.command} {self.path}")
        name = self.path.partition("?")[0]
        first = self.server.first.pop(0) if self.server.first else 200
        if first == 200 and name not in self.server.files:
            first = 404
        if isinstance(first, int) and first != 200:
            self.send_response(first)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data, headers = self.server.files[name]
        self.send_response(200)
        for key, value in ({"Content-Length": str(len(data))} | headers).items():
            if value:
                self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            data = data[: len(data) // 2] if first == "break off" else data
            self.server.sent += len(data)
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(web, "_WAIT_SECONDS", 0.01)
    with serving(Server()) as server:
        yield server


def look(workspace, uri: str, **said: object):
    workspace.set(discover={"sources": [{"uri": uri, **said}]})
    return workspace.run("discover", discover=True)


@pytest.mark.parametrize("headers", [{"ETag": '"1"'}, {"Last-Modified": OLD}, {}, {"ETag": 'W/"1"'}])
def test_a_file_by_its_url_becomes_documents(workspace, server, headers):
    server.files["/rows.jsonl"] = (b'{"text": "one"}\n{"text": "two"}\n', headers)
    look(workspace, f"{server.url}/rows.jsonl?version=3")
    (file,) = read_manifest(workspace.out("discover"))
    assert (file.uri, file.source, file.size) == (f"{server.url}/rows.jsonl?version=3",) * 2 + (32,)
    workspace.run("ingest")
    assert sorted(workspace.texts("ingest").values()) == ["one", "two"]


@pytest.mark.parametrize(
    ("headers", "times"), [({"ETag": '"1"'}, 1), ({"Last-Modified": OLD}, 1), ({}, 2), ({"ETag": 'W/"1"'}, 2)]
)
def test_it_is_read_again_only_where_its_headers_do_not_tell(workspace, server, headers, times):
    server.files["/a.txt"] = (b"text", headers)
    for _ in range(2):
        look(workspace, f"{server.url}/a.txt")
    assert server.sent >= 4 * times
    assert (server.sent == 4) is (times == 1)


@pytest.mark.parametrize("headers", [({"ETag": '"1"'}, {"ETag": '"2"'}), ({}, {})])
def test_another_content_is_seen_and_what_changed_since_the_look_is_refused(workspace, server, headers):
    server.files["/a.txt"] = (b"one", headers[0])
    look(workspace, f"{server.url}/a.txt")
    (before,) = read_manifest(workspace.out("discover"))
    server.files["/a.txt"] = (b"two", headers[1])
    with pytest.raises(StepError, match=r"a\.txt: changed since discover"):
        workspace.run("ingest")
    look(workspace, f"{server.url}/a.txt")
    (after,) = read_manifest(workspace.out("discover"))
    assert before.sha256 != after.sha256
    workspace.run("ingest")


def test_a_server_that_is_busy_or_breaks_off_is_asked_again(workspace, server):
    server.files["/a.txt"] = (b"some text", {"ETag": '"1"'})
    server.first = [503, 200, 429, "break off", 200]
    look(workspace, f"{server.url}/a.txt")
    assert read_manifest(workspace.out("discover"))[0].size == 9
    assert [asked.split()[0] for asked in server.asked][:5] == ["HEAD", "HEAD", "GET", "GET", "GET"]


def test_a_server_that_answers_no_question_about_a_file_sends_it(workspace, server):
    server.files["/a.txt"] = (b"text", {"ETag": '"1"'})
    server.first = [405]
    look(workspace, f"{server.url}/a.txt")
    assert [asked.split()[0] for asked in server.asked][:2] == ["HEAD", "GET"]


@pytest.mark.parametrize(
    ("first", "said"),
    [([404] * 9, "the server answers 404 Not Found"), ([503] * 9, "the server answers 503"),
     ([200] + ["break off"] * 9, "the server cannot be read: .*closed")],
)  # fmt: skip
def test_what_cannot_be_had_is_said(workspace, server, first, said):
    server.files["/a.txt"] = (b"text", {"ETag": '"1"'})
    server.first = first
    with pytest.raises(StepError, match=rf"none of 1 files can be read; the first is http://.*/a\.txt: {said}"):
        look(workspace, f"{server.url}/a.txt")


def test_a_server_that_is_not_there_is_said(workspace, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(StepError, match=r"the server cannot be read: .*refused"):
        look(workspace, f"{server.url}/a.txt")


@pytest.mark.parametrize("headers", [{}, {"Content-Length": ""}])
def test_more_than_the_limit_is_refused(workspace, server, headers, monkeypatch):
    monkeypatch.setattr(web, "MAX_BYTES", 3)
    server.files["/a.txt"] = (b"text", headers)
    with pytest.raises(StepError, match=r"more than .* GiB, found 4 bytes; download it"):
        look(workspace, f"{server.url}/a.txt")


def test_an_ending_is_needed_unless_the_format_is_said(workspace, server):
    server.files["/export"] = (b'{"text": "one"}\n', {})
    with pytest.raises(StepError, match=r"has no document: .*found 1 x no suffix"):
        look(workspace, f"{server.url}/export?table=a.b")
    look(workspace, f"{server.url}/export?table=a.b", format="jsonl")
    workspace.run("ingest")
    assert list(workspace.texts("ingest").values()) == ["one"]


def test_a_token_from_the_environment_is_sent_and_stays_there(workspace, server, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("WEB_TOKEN", "hunter2/&")
    server.files["/a.txt"] = (b"text", {"ETag": '"1"'})
    look(workspace, f"{server.url}/a.txt?token=${{WEB_TOKEN}}")
    workspace.run("ingest")
    assert server.asked[0] == "HEAD /a.txt?token=hunter2%2F%26"
    kept = [path.read_bytes() for path in workspace.root.rglob("*") if path.is_file()]
    assert len(kept) > 5
    assert not any(b"hunter2" in data for data in [*kept, caplog.text.encode()])
    server.files.clear()
    with pytest.raises(StepError) as error:
        look(workspace, f"{server.url}/a.txt?token=${{WEB_TOKEN}}")
    assert "hunter2" not in str(error.value)
    monkeypatch.delenv("WEB_TOKEN")
    with pytest.raises(StepError, match="found no WEB_TOKEN; set it"):
        look(workspace, f"{server.url}/a.txt?token=${{WEB_TOKEN}}")
