"""An HTTP proxy before an S3 server that spoils requests: 500, no answer, a lost or a cut-off one, or it is down."""

import http.client
import math
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_NOT_PASSED_ON = {"transfer-encoding", "connection", "keep-alive"}
_GIVE_UP_SECONDS = 120


class Proxy(ThreadingHTTPServer):
    """Passes requests on to `endpoint`; counts those whose path has `part`, and spoils the `at`-th and those after.

    At most so many `times`, and not later than `seconds` after the first.
    """

    daemon_threads = True

    def __init__(
        self, endpoint: str, *, part: str, how: str, at: int, times: int = 1, seconds: float = math.inf
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.host = urlsplit(endpoint).netloc
        self.part, self.how, self.at, self.times = part, how, at, times
        self.seconds, self._until = seconds, math.inf
        self.seen, self.spoiled = 0, 0
        self.closing, self._lock = threading.Event(), threading.Lock()

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        """Where clients find the proxy."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spoils(self, path: str) -> bool:
        """Whether this request is one to spoil."""
        with self._lock:
            if self.part not in path:
                return False
            self.seen += 1
            spoil = self.at <= self.seen - 1 and self.spoiled < self.times and time.monotonic() < self._until
            if spoil and not self.spoiled:
                self._until = time.monotonic() + self.seconds
            self.spoiled += spoil
            return spoil

    def handle_error(self, *_: Any) -> None:
        """Clients that hang up are what this is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _serve(self) -> None:
        how = self.server.how if self.server.spoils(self.path) else ""
        body = self._body()
        if how == "hang":
            self.server.closing.wait(_GIVE_UP_SECONDS)
        elif how == "500":
            self._answer(500, {"Content-Type": "application/xml"}, b"<Error><Code>InternalError</Code></Error>")
            return
        elif how != "down":
            status, headers, content = self._passed_on(body)
            if how == "":
                self._answer(status, headers, content)
                return
            if how == "cut":
                self._answer(status, headers, content, sent=len(content) // 2)
        self.close_connection = True

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # names that http.server looks for

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(pieces)

    def _passed_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.server.host, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _NOT_PASSED_ON | {"expect"}}
        headers["Content-Length"] = str(len(body))
        connection.request(self.command, self.path, body=body, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in _NOT_PASSED_ON}
        connection.close()
        return answer.status, kept, content

    def _answer(self, status: int, headers: dict[str, str], content: bytes, *, sent: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() != "content-length" or self.command == "HEAD":
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        if sent is None or content:  # an answer without a body is cut off in its headers
            self.end_headers()
        else:
            self.flush_headers()
        if self.command != "HEAD":
            self.wfile.write(content if sent is None else content[:sent])

    def log_message(self, *_: Any) -> None:
        """The campaign says what happened."""
