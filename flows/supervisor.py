"""Keeps the parts of `abcd up` alive: Prefect server, deployments, worker; ends them all when told to.

The server and the worker, with the runs under it, are guarded: they die with this process, by SIGKILL too. One that
dies alone is started again, and runs whose process died with it get their last state.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Literal, NoReturn

from filelock import FileLock, Timeout

from flows import server
from flows.address import addresses, refuse_taken_port
from flows.guard import become_subreaper, end_descendants
from flows.platform_state import Known, PlatformError, PlatformState, path_of
from infra.settings import Settings

logger = logging.getLogger(__name__)

# What a run gets to end by itself when it is cancelled (Prefect's worker kills it after 30 s).
CANCEL_SECONDS = 45.0
_LOOK_SECONDS = 0.5
# A part that ends so often within so many seconds will not run at all.
_RESTARTS, _RESTART_SECONDS = 5, 120.0


class AlreadyUpError(PlatformError):
    """Another `abcd up` serves this workspace."""


class Supervisor:
    """Server and worker of one workspace."""

    def __init__(self, settings: Settings, *, host: str, port: int) -> None:
        self._settings = settings
        api_url, ui_url = addresses(host, port)
        self.state = PlatformState(
            supervisor=Known.of(os.getpid()), host=host, port=port, since=time.time(), api_url=api_url, ui_url=ui_url
        )
        self._server: subprocess.Popen[bytes] | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._ends: list[float] = []

    def run(self, announce: Callable[[PlatformState], None]) -> None:
        """Start all, call `announce`, and go on until a signal says stop.

        Raises:
            AlreadyUpError: another one runs.
            PlatformError: a part does not start, or does not stay.
        """
        lock = FileLock(self._settings.state / "platform.lock")
        self._settings.state.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise AlreadyUpError("the platform of this workspace is up already") from None
        refuse_taken_port(self.state.host, self.state.port)
        become_subreaper()
        try:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, _raise_interrupt)
            self.state.write(self._settings)
            self._start(announce)
            while True:
                time.sleep(_LOOK_SECONDS)
                self._look()
        except KeyboardInterrupt:
            logger.info("stopping: what runs is cancelled first; Ctrl-C again ends it at once")
        finally:
            self._stop()
            path_of(self._settings).unlink(missing_ok=True)
            lock.release()

    def _start(self, announce: Callable[[PlatformState], None]) -> None:
        os.environ["PREFECT_API_URL"] = self.state.api_url
        self._start_server()
        from flows import platform_api  # its import takes as long as the server's start, beside it

        self._wait_for_server()
        with platform_api.client() as api:
            platform_api.open_pool(api)
            self._settle("Crashed", "the platform ended while it ran; run it again")
        self._start_worker()
        self._deploy()
        self.state.is_ready = True
        self.state.write(self._settings)
        announce(self.state)

    def _start_server(self) -> None:
        host, port = self.state.host, self.state.port
        origins = {self.state.ui_url, f"http://{server.LOOPBACK}:{port}", f"http://localhost:{port}"}
        environment = {
            "PREFECT_SERVER_UI_API_URL": f"{self.state.ui_url}/api",
            # Else any page that a user opens elsewhere could call this API from the user's browser.
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(sorted(origins)),
        }
        log = self._settings.prefect_home / "server.log"
        self._server = server.start(
            self._settings, host=host, port=port, log=log, environment=environment, services=True
        )
        self.state.server = Known.of(self._server.pid)
        self.state.write(self._settings)

    def _wait_for_server(self) -> None:
        assert self._server is not None
        server.wait_until_healthy(self.state.api_url, self._server, self._settings.prefect_home / "server.log")

    def _start_worker(self) -> None:
        from flows.platform_api import POOL

        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process",
                   "--name", f"abcd@{socket.gethostname()}"]  # fmt: skip
        log = self._settings.prefect_home / "worker.log"
        environment = worker_environment(self._settings)
        self._worker = server.start_guarded(command, self._settings, log=log, environment=environment)
        self.state.worker = Known.of(self._worker.pid)
        self.state.write(self._settings)

    def _deploy(self) -> None:
        """Register what prefect.yaml offers."""
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        log = self._settings.prefect_home / "deploy.log"
        deploying = server.start_guarded(
            command, self._settings, log=log, environment=worker_environment(self._settings)
        )
        if deploying.wait():
            raise PlatformError(f"`prefect deploy --all` ended with code {deploying.returncode}; see {log}")
        server.stop(deploying)

    def _look(self) -> None:
        """Start again what has ended by itself."""
        assert self._server is not None
        if self._server.poll() is not None:
            self._note_end("server")
            self._sweep()
            self._start_server()
            self._wait_for_server()
        if self._worker is not None and self._worker.poll() is not None:
            self._note_end("worker")
            self._worker = None
            self._sweep()
        if self._worker is None and self._is_settled():
            self._start_worker()

    def _is_settled(self) -> bool:
        """Whether runs that died with the worker have their last state; not yet while the database is away."""
        try:
            self._settle("Crashed", "the worker ended while it ran; run it again")
        except Exception as error:  # noqa: BLE001 - whatever the API answers, the next look asks again
            logger.warning("the worker waits for the API: %s", error)
            return False
        return True

    def _note_end(self, part: str) -> None:
        now = time.monotonic()
        self._ends = [*(end for end in self._ends if now - end < _RESTART_SECONDS), now]
        log = self._settings.prefect_home / f"{part}.log"
        if len(self._ends) > _RESTARTS:
            raise PlatformError(f"the {part} ended {len(self._ends)} times in {_RESTART_SECONDS:.0f} s; see {log}")
        logger.warning("the %s has ended and is started again; see %s", part, log)

    def _sweep(self) -> None:
        """End what a part left whose guard was killed: it has become this process's child."""
        kept = {part.pid for part in (self._server, self._worker) if part is not None and part.poll() is None}
        end_descendants(kept=kept)

    def _settle(self, how: Literal["Cancelled", "Crashed"], why: str) -> None:
        from flows import platform_api

        with platform_api.client() as api:
            for name in platform_api.settle(api, how, why):
                logger.warning("%s: %s, %s", name, how, why)

    def _stop_runs(self) -> None:
        """Cancel what runs and wait for it; then, without a worker, give the rest its last state."""
        from flows import platform_api

        with platform_api.client() as api:
            platform_api.close_pool(api)
            if self._worker is not None:
                platform_api.cancel_active(api, seconds=CANCEL_SECONDS)
                server.stop(self._worker)
        self._settle("Cancelled", "the platform was stopped")

    def _stop(self) -> None:
        """Cancel what runs, end worker and server; an interruption ends them at once."""
        try:
            if self._server is not None and server.is_healthy(self.state.api_url):
                self._stop_runs()
        except KeyboardInterrupt:
            logger.warning("ending at once")
        except Exception:
            logger.exception("not all runs could be cancelled; they end now")
        finally:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            for part in (self._worker, self._server):
                if part is not None:
                    server.stop(part)
            end_descendants()


def worker_environment(settings: Settings) -> dict[str, str]:
    """What the worker and its runs see: this process's environment without what only the server needs."""
    servers = ("PREFECT_API_DATABASE_", "PREFECT_SERVER_DATABASE_", server.SERVER_AUTH)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(servers)}
    # `python` in prefect.yaml and dvc.yaml is this interpreter, its code the workspace's.
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(settings.workspace), kept.get("PYTHONPATH", "")]))
    return kept | {
        "ABCD_WORKSPACE": str(settings.workspace),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        # Never install anything for a run, though uv be there.
        "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "false",
    }


def _raise_interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
