"""`abcd up`, `status`, `down`: the platform on one machine, always on."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from flows import server
from flows.address import addresses, refuse_open_door
from flows.platform_state import Known, PlatformError, PlatformState, path_of, wait_for_end
from flows.supervisor import CANCEL_SECONDS, Supervisor
from infra.settings import Settings

if TYPE_CHECKING:
    from flows.platform_api import Offer

# How long a first start may take on a busy machine.
_UP_SECONDS = 240.0
# The scheduler looks for new deployments every few seconds.
_PLAN_SECONDS = 15.0
_LOOK_SECONDS = 0.1


def up(
    *,
    host: Annotated[
        str | None, typer.Option(help="Where to listen; other than loopback needs an auth string (ABCD_HOST).")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Of the UI and API (ABCD_PORT).")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Go back to the shell once all is up.")] = False,
) -> None:
    """Bring up the platform: Prefect server and UI, deployments, worker, nightly schedule. Ctrl-C stops it.

    What dies alone is started again. Nothing of it outlives this command, or with --detach `abcd down`.
    """
    settings, console = Settings.load(), Console()
    os.chdir(settings.workspace)
    host, port = host or settings.host, port or settings.port
    refuse_open_door(host, settings)
    server.configure(settings, quiet=False)
    running = PlatformState.read(settings)
    if running is not None and running.supervisor.lives():
        console.print(f"already up, as process {running.supervisor.pid}; `abcd down` stops it")
        if running.is_ready:
            _show(running, settings, console)
        return
    if running is not None:
        console.print("the last `abcd up` was killed; what it left is cleared away")
        _end_left(running)
    if detach:
        _show(_start_detached(settings, host, port), settings, console)
        console.print("`abcd status` shows it, `abcd down` stops it")
        return
    console.print("starting the Prefect server, the worker and the deployments")

    def announce(state: PlatformState) -> None:
        _show(state, settings, console)
        console.print("Ctrl-C stops it: what runs is cancelled, then all of it ends")

    Supervisor(settings, host=host, port=port).run(announce)
    console.print("stopped; nothing of it runs any more")


def status(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False) -> None:
    """Show what of the platform runs: processes, health, deployments, runs under way and planned.

    Exit code 3 if it does not run.
    """
    settings, console = Settings.load(), Console()
    server.configure(settings, quiet=True)
    state = PlatformState.read(settings)
    word = _word(state)
    if state is None or word == "stale":
        _say_down(word, console, as_json=as_json)
        raise typer.Exit(3)
    healthy = server.is_healthy(state.api_url)
    offer = _offer(state) if healthy else None
    processes = {name: {"pid": part.pid, "runs": part.lives()} for name, part in state.parts().items()}
    if as_json:
        seen = offer.model_dump(mode="json") if offer else {}
        console.print_json(
            data={"state": word, "healthy": healthy, "ui": state.ui_url, "api": state.api_url, "since": state.since,
                  "processes": processes, **seen}
        )  # fmt: skip
        return
    console.print(f"[bold]{word}[/] since {_time(datetime.fromtimestamp(state.since).astimezone())}")
    for name, process in processes.items():
        console.print(f"  {name:<11} process {process['pid']}{'' if process['runs'] else ', [red]ended[/]'}")
    console.print(f"  {'API':<11} {'answers' if healthy else '[red]does not answer[/]'}")
    _show(state, settings, console, offer=offer)


def down() -> None:
    """Stop the platform: cancel what runs, wait for its end, stop worker and server, check that nothing is left."""
    settings, console = Settings.load(), Console()
    state = PlatformState.read(settings)
    if state is None:
        console.print("nothing to stop: the platform of this workspace does not run")
        return
    if not state.supervisor.lives():
        ended = _end_left(state)
        path_of(settings).unlink(missing_ok=True)
        console.print(f"the platform had been killed; {ended} processes that it left are ended")
        return
    seen = _terminate(state.supervisor)
    _end([known for known in seen.values() if known.lives()])
    path_of(settings).unlink(missing_ok=True)
    console.print(f"stopped: {len(seen)} processes have ended, none is left")


def _start_detached(settings: Settings, host: str, port: int) -> PlatformState:
    """`abcd up` in a session of its own; its state once all is up."""
    log = settings.prefect_home / "platform.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        child = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "up", "--host", host, "--port", str(port)],
            stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=settings.workspace, start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    os.environ["PREFECT_API_URL"] = addresses(host, port)[0]
    from flows import platform_api  # noqa: F401 - it takes seconds, so while the child starts

    deadline = time.monotonic() + _UP_SECONDS
    while time.monotonic() < deadline:
        state = PlatformState.read(settings)
        if state is not None and state.is_ready and state.supervisor.pid == child.pid:
            return state
        if child.poll() is not None:
            said = log.read_text(encoding="utf-8", errors="replace").strip()
            raise PlatformError(f"it did not come up: {said.rpartition('error:')[2].strip()}")
        time.sleep(_LOOK_SECONDS)
    child.terminate()
    raise PlatformError(f"it was not up after {_UP_SECONDS:.0f} s; see the logs in {settings.prefect_home}")


def _terminate(supervisor: Known) -> dict[int, Known]:
    """Ask the supervisor to stop and wait; all processes that were seen below it meanwhile."""
    seen: dict[int, Known] = {}
    deadline = time.monotonic() + CANCEL_SECONDS + 30
    with contextlib.suppress(ProcessLookupError):
        os.kill(supervisor.pid, signal.SIGTERM)
    while supervisor.lives() and time.monotonic() < deadline:
        seen |= {known.pid: known for known in supervisor.tree()}
        time.sleep(_LOOK_SECONDS)
    return seen


def _end_left(state: PlatformState) -> int:
    """End what a killed platform left (its guards end it anyway, within seconds); how many processes that was."""
    left = {known.pid: known for part in state.parts().values() for known in part.tree()}
    wait_for_end(list(left.values()), 5.0)
    _end([known for known in left.values() if known.lives()])
    return len(left)


def _end(processes: list[Known]) -> None:
    for known in processes:
        process = known.process()
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    left = wait_for_end(processes, 10.0)
    if left:
        raise PlatformError(f"still running after SIGKILL: processes {', '.join(str(known.pid) for known in left)}")


def _word(state: PlatformState | None) -> str:
    if state is None:
        return "down"
    if not state.supervisor.lives():
        return "stale"
    return "up" if state.is_ready else "starting"


def _say_down(word: str, console: Console, *, as_json: bool) -> None:
    if as_json:
        console.print_json(data={"state": word})
    elif word == "stale":
        console.print("down: the last `abcd up` was killed; `abcd up` starts it again")
    else:
        console.print("down: `abcd up` starts it")


def _offer(state: PlatformState) -> "Offer":
    os.environ["PREFECT_API_URL"] = state.api_url
    from flows import platform_api

    try:
        with platform_api.client() as api:
            return platform_api.offer(api, state.ui_url)
    except platform_api.RefusedError as error:
        raise PlatformError(
            f"{state.api_url} answers {error.response.status_code}; if it asks for an auth string, set "
            f"{server.SERVER_AUTH} or ABCD_AUTH_FILE as for `abcd up`"
        ) from None


def _show(state: PlatformState, settings: Settings, console: Console, *, offer: "Offer | None" = None) -> None:
    """The addresses, what can be run there, what runs and what comes next."""
    offer = offer or _planned_offer(state)
    console.print(f"\nUI   [bold]{state.ui_url}[/]\nAPI  {state.ui_url}/api", highlight=False)
    if server.auth_string(settings):
        console.print("Login: type the whole auth string, user:password, into its one field", highlight=False)
    console.print()
    widest = max((len(each.name) for each in offer.deployments), default=0)
    for each in offer.deployments:
        schedule = f"  [dim]{each.schedule}[/]" if each.schedule else ""
        console.print(f"{each.name:<{widest}}  {each.url}{schedule}", highlight=False, soft_wrap=True)
    for run in offer.running:
        console.print(f"{run.state.lower()}: {run.deployment} ({run.name}) since {_time(run.at)}", highlight=False)
    for run in offer.planned:
        console.print(f"next {run.deployment}: {_time(run.at)}", highlight=False)
    if missing := _unplanned(offer):
        console.print(f"[yellow]not yet planned: {', '.join(missing)}; `abcd status` shows when[/]")
    console.print(f"[dim]logs in {escape(_near(settings.prefect_home))}[/]", highlight=False)


def _planned_offer(state: PlatformState) -> "Offer":
    """What is offered, once the server has planned what has a schedule (on a first start it takes seconds)."""
    deadline = time.monotonic() + _PLAN_SECONDS
    while _unplanned(offer := _offer(state)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return offer


def _unplanned(offer: "Offer") -> list[str]:
    planned = {run.deployment for run in offer.planned}
    return [each.name for each in offer.deployments if each.schedule and each.name not in planned]


def _time(at: datetime | None) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M %Z") if at else "now"


def _near(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
