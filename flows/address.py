"""Where `abcd up` listens: whether it may, whether it can, and under which addresses it is found."""

import ipaddress
import os
import socket

import psutil

from flows import server
from flows.platform_state import PlatformError
from infra.settings import Settings


def refuse_open_door(host: str, settings: Settings) -> None:
    """Check that only this machine gets in, or those who know the auth string.

    Raises:
        PlatformError: anyone would.
    """
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        raise PlatformError(f"--host {host}: expected an IP address of this machine, or localhost") from None
    if not is_loopback and not server.auth_string(settings):
        raise PlatformError(
            f"--host {host} lets other machines in, and whoever reaches the API runs code here: set an auth string "
            f"first, {server.SERVER_AUTH}=user:password in the environment, or ABCD_AUTH_FILE=a file that holds it"
        )


def refuse_taken_port(host: str, port: int) -> None:
    """Check that this process could listen there.

    Raises:
        PlatformError: it cannot; the message says who does.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PlatformError(
                f"cannot listen on {host}:{port}: {error.strerror or error}{_who_listens(port)}; "
                "stop that, or choose another port: `abcd up --port N` or ABCD_PORT"
            ) from None


def addresses(host: str, port: int) -> tuple[str, str]:
    """Where processes of this machine find the API, and where browsers find the UI."""
    is_any = host in ("0.0.0.0", "::")
    local = server.LOOPBACK if is_any or host == "localhost" else host
    local, shown = (f"[{name}]" if ":" in name else name for name in (local, socket.getfqdn() if is_any else local))
    for_browsers = os.environ.get("PREFECT_SERVER_UI_API_URL", f"http://{shown}:{port}/api")
    return f"http://{local}:{port}/api", for_browsers.removesuffix("/api")


def _who_listens(port: int) -> str:
    for process in psutil.process_iter(["pid", "name"]):
        try:
            listening = process.net_connections("tcp")
        except psutil.Error:
            continue
        if any(one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port for one in listening):
            return f" by process {process.pid} ({process.info['name']})"
    return ""
