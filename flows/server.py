"""A Prefect server for the length of a run, on loopback, unless `PREFECT_API_URL` names one."""

import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from infra.settings import Settings

logger = logging.getLogger(__name__)

# A first start makes the database: about 10 s on two quiet cores.
_START_SECONDS = 120
_LOOPBACK = "127.0.0.1"


class ServerError(RuntimeError):
    """No Prefect server could be reached or started."""


def configure(settings: Settings, *, quiet: bool) -> None:
    """Set what Prefect reads from the environment at import; call it before `prefect` is imported.

    Args:
        settings: whereabouts of the workspace.
        quiet: keep Prefect's own lines off the terminal; they still reach the server.
    """
    defaults = {
        "PREFECT_HOME": str(settings.prefect_home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # The second UI calls an analytics host whatever the settings.
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "flows,tasks,infra",
        # A database that restarts answers 500 for a moment.
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
    }
    if quiet:
        defaults["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


@contextmanager
def prefect_server(settings: Settings) -> Iterator[str]:
    """URL of a Prefect API: the one in `PREFECT_API_URL`, else a server that lives as long as the block.

    The caller imports `prefect` only inside the block.

    Raises:
        ServerError: the server did not come up.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        yield given
        return
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port = probe.getsockname()[1]
    url = f"http://{_LOOPBACK}:{port}/api"
    settings.prefect_home.mkdir(parents=True, exist_ok=True)
    log_path = settings.prefect_home / "server.log"
    # `--port` does not tell the UI where its API is.
    environment = {**os.environ, "PREFECT_API_URL": url, "PREFECT_SERVER_UI_API_URL": url}
    command = [sys.executable, "-m", "flows.guard", sys.executable, "-m", "prefect", "server", "start",
               "--host", _LOOPBACK, "--port", str(port), "--no-services"]  # fmt: skip
    with log_path.open("wb") as log:
        # A session of its own: Ctrl-C ends the run first, and the run can still be recorded as cancelled.
        server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment,
            cwd=settings.workspace, start_new_session=True,
        )  # fmt: skip
    os.environ["PREFECT_API_URL"] = url
    try:
        _wait_until_healthy(url, server, str(log_path))
        yield url
    finally:
        del os.environ["PREFECT_API_URL"]
        assert server.stdin is not None
        server.stdin.close()
        server.wait()


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ServerError(f"the Prefect server ended with code {server.returncode} at its start; see {log}")
        try:
            opener.open(f"{url}/health", timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise ServerError(f"the Prefect server did not answer at {url} within {_START_SECONDS} s; see {log}")
