"""A platform that tests bring up as a user would, by `abcd up` in a clone, and its API as others see it."""

import base64
import json
import socket
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from typing import Any

import psutil

from tests.conftest import Clone

# SQLite makes writers wait in turn; on a busy machine one gives up, and the server says so.
_BUSY_TRIES, _BUSY_SECONDS, _ANSWER_SECONDS = 40, 0.5, 60
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Platform:
    """One `abcd up` of a clone, on a port of its own."""

    def __init__(self, clone: Clone, **environment: str) -> None:
        self.clone, self.port = clone, free_port()
        self.environment = {"ABCD_PORT": str(self.port), **environment}
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.auth = environment.get("PREFECT_SERVER_API_AUTH_STRING", "")

    def up(self) -> str:
        """Bring it up and go back to the shell; what it said."""
        return self.abcd("up", "--detach")

    def down(self) -> str:
        """Stop it; what it said."""
        return self.abcd("down")

    def abcd(self, *arguments: str, code: int = 0) -> str:
        """Run a command of the platform in the clone."""
        return self.clone.run("abcd", *arguments, code=code, **self.environment)

    def status(self, *, code: int = 0) -> dict[str, Any]:
        """What `abcd status --json` says."""
        said: dict[str, Any] = json.loads(self.abcd("status", "--json", code=code))
        return said

    def state(self) -> dict[str, Any]:
        """What the platform wrote down of itself; empty before it has."""
        try:
            found: dict[str, Any] = json.loads((self.clone.root / ".abcd" / "platform.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def wait_until_ready(self, seconds: float = 120) -> None:
        """Wait until all of it is up."""
        deadline = time.monotonic() + seconds
        while not self.state().get("is_ready"):
            assert time.monotonic() < deadline, "the platform did not come up"
            time.sleep(0.1)

    def processes(self) -> list[int]:
        """Ids of all its processes that run now."""
        root = psutil.Process(self.state()["supervisor"]["pid"])
        return [root.pid, *(child.pid for child in root.children(recursive=True))]

    def call(self, path: str, body: Any = None) -> Any:
        """Ask the API; again while its database is busy, as Prefect's own clients do.

        Raises:
            urllib.error.HTTPError: it refuses.
        """
        for _ in range(_BUSY_TRIES):
            try:
                return self._ask(path, body)
            except urllib.error.HTTPError as error:
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
            time.sleep(_BUSY_SECONDS)
        return self._ask(path, body)

    def _ask(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(self.url + path)
        request.add_header("Content-Type", "application/json")
        if self.auth:
            request.add_header("Authorization", f"Basic {base64.b64encode(self.auth.encode()).decode()}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        data = None if body is None else json.dumps(body).encode()
        with opener.open(request, data, timeout=_ANSWER_SECONDS) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def trigger(self, deployment: str, **parameters: Any) -> str:
        """Start a run as the UI's button does; its id."""
        found = self.call("/deployments/filter", {"deployments": {"name": {"any_": [deployment]}}})
        assert found, f"no deployment {deployment}"
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self.call(f"/deployments/{found[0]['id']}/create_flow_run", body)["id"])

    def refusal(self, deployment: str, **parameters: Any) -> tuple[int, str]:
        """Code and words with which the server refuses to make a run."""
        try:
            run = self.trigger(deployment, **parameters)
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())["detail"]
        raise AssertionError(f"the server made run {run}")

    def run_state(self, run: str) -> dict[str, Any]:
        """State of a run now."""
        state: dict[str, Any] = self.call(f"/flow_runs/{run}")["state"]
        return state

    def wait_for(self, run: str, types: set[str] = ENDED, seconds: float = 240) -> dict[str, Any]:
        """Wait for a run to reach one of these states."""
        deadline = time.monotonic() + seconds
        while (state := self.run_state(run))["type"] not in types:
            assert time.monotonic() < deadline, f"run {run} is {state} after {seconds} s; log:\n{self.log(run)}"
            time.sleep(0.2)
        return state

    def wait_for_line(self, run: str, words: str, seconds: float = 60) -> None:
        """Wait until the log of a run has these words; its process sends its last lines after its last state."""
        deadline = time.monotonic() + seconds
        while words not in self.log(run):
            assert time.monotonic() < deadline, f"no {words!r} after {seconds} s in the log:\n{self.log(run)}"
            time.sleep(0.2)

    def log(self, run: str) -> str:
        """The log of a run, as the UI shows it."""
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        return "\n".join(line["message"] for line in self.call("/logs/filter", body))
