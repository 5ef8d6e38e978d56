"""A Prefect server on this machine: for the length of a run, or as a part of `abcd up`."""

import logging
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from flows.platform_state import PlatformState
from infra.settings import Settings, SettingsError

logger = logging.getLogger(__name__)

# A first start makes the database: about 10 s on two quiet cores.
START_SECONDS = 120
LOOPBACK = "127.0.0.1"
SERVER_AUTH, CLIENT_AUTH = "PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"


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
        # The second UI calls an analytics host whatever the settings; nor do offers of others' services belong here.
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "flows,tasks,infra",
        # Runs that ended three months ago leave the database; their records stay with git and in runs/.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        # A database that restarts answers 500 for a moment.
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
    }
    if quiet:
        defaults["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    if auth := auth_string(settings):
        defaults |= {SERVER_AUTH: auth, CLIENT_AUTH: auth}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def auth_string(settings: Settings) -> str:
    """What clients of the API must show, `user:password`; empty: nothing. From the environment, else a file.

    Raises:
        SettingsError: the file cannot be read or holds no such string, or one that no browser can send.
    """
    given = os.environ.get(SERVER_AUTH) or os.environ.get(CLIENT_AUTH, "")
    if given or settings.auth_file is None:
        return _typable(given, SERVER_AUTH if os.environ.get(SERVER_AUTH) else CLIENT_AUTH)
    try:
        found = settings.auth_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"ABCD_AUTH_FILE: cannot read {settings.auth_file}: {error}") from None
    if ":" not in found:
        raise SettingsError(f"ABCD_AUTH_FILE: expected user:password in {settings.auth_file}, found no colon")
    return _typable(found, "ABCD_AUTH_FILE")


def _typable(found: str, name: str) -> str:
    """What was found, if the UI's page Login can send it and the server compare it (Prefect 3.8.8 answers 500 else)."""
    if not (found.isascii() and found.isprintable()):
        raise SettingsError(f"{name}: expected letters, digits and signs of ASCII alone, found others; choose another")
    return found


@contextmanager
def prefect_server(settings: Settings) -> Iterator[str]:
    """URL of a Prefect API: of `PREFECT_API_URL`, else of `abcd up`, else of a server that lives as long as the block.

    The caller imports `prefect` only inside the block.

    Raises:
        ServerError: the server did not come up.
    """
    given = os.environ.get("PREFECT_API_URL")
    if given:
        yield given
        return
    running = PlatformState.read(settings)
    if running is not None and running.is_ready and running.supervisor.lives():
        with _api_url(running.api_url):
            yield running.api_url
        return
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    url, log = f"http://{LOOPBACK}:{port}/api", settings.prefect_home / "server.log"
    with _api_url(url):
        server = start(settings, host=LOOPBACK, port=port, log=log, environment={"PREFECT_SERVER_UI_API_URL": url})
        try:
            wait_until_healthy(url, server, log)
            yield url
        finally:
            stop(server)


def start(
    settings: Settings, *, host: str, port: int, log: Path, environment: Mapping[str, str], services: bool = False
) -> subprocess.Popen[bytes]:
    """Start a server under the guard; it ends when this process does.

    Args:
        settings: whereabouts of the workspace.
        host: address to listen on.
        port: port to listen on.
        log: file for what it says.
        environment: what it needs beside this process's environment; `--port` does not tell the UI where its API is.
        services: also plan scheduled runs and mark late ones, as a server that stays on must.
    """
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", host, "--port", str(port)]
    if not services:
        command.append("--no-services")
    served = {
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(_first_ui_only(settings)),
        # Kept in memory, a server started again would not know that a run holds its deployment's place and end it.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }
    return start_guarded(command, settings, log=log, environment={**os.environ, **served, **environment})


def _first_ui_only(settings: Settings) -> Path:
    """Folder that Prefect serves its UIs from, in which it cannot make its copy of the second one.

    That one calls an analytics host whatever the settings, and would be a click away. At a link to nothing Prefect has
    no copy and makes none, so offers the first UI alone (prefect/server/api/server.py, 3.8.8).
    """
    folder = settings.prefect_home / "ui"
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        (folder / "v2").symlink_to("not-served")
    return folder


def start_guarded(
    command: list[str], settings: Settings, *, log: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a command that, with all below it, ends when this process does, or at `stop`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        # A session of its own: Ctrl-C reaches this process alone, which ends the parts in order.
        return subprocess.Popen(
            [sys.executable, "-m", "flows.guard", *command], stdin=subprocess.PIPE, stdout=sink, stderr=sink,
            env=dict(environment), cwd=settings.workspace, start_new_session=True,
        )  # fmt: skip


def stop(guarded: subprocess.Popen[bytes]) -> None:
    """End what `start_guarded` started and wait for it."""
    assert guarded.stdin is not None
    guarded.stdin.close()
    guarded.wait()


def wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the first good answer.

    Raises:
        ServerError: it ended, or did not answer in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise ServerError(f"the Prefect server ended with code {server.returncode} at its start; see {log}")
        if is_healthy(url):
            return
        time.sleep(0.1)
    raise ServerError(f"the Prefect server did not answer at {url} within {START_SECONDS} s; see {log}")


def is_healthy(url: str) -> bool:
    """Whether an API answers, without any proxy between."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(f"{url}/health", timeout=2).close()
    except OSError:
        return False
    return True


@contextmanager
def _api_url(url: str) -> Iterator[None]:
    """The API that Prefect's clients in this process and below use while the block runs."""
    os.environ["PREFECT_API_URL"] = url
    try:
        yield
    finally:
        del os.environ["PREFECT_API_URL"]
