"""`abcd doctor`: what this machine has and lacks for the pipeline, each line with its fix."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import psutil
import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table

from infra.lock import describe_holder, is_held
from infra.processes import usable_cores
from infra.settings import Settings, SettingsError, WorkspaceError

_GIB = 1024**3
_MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]fail[/]"}


class Finding(BaseModel):
    """One line: what was looked at, how it is, what was found, what to do."""

    what: str
    state: Literal["ok", "warn", "fail"] = "ok"
    found: str
    fix: str = ""


def doctor(*, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """Look at what this machine has and lacks: each line with its fix. Exit code 1 if something must be fixed."""
    findings = [check() for check in CHECKS]
    console = Console()
    if as_json:
        console.print_json(data=[finding.model_dump() for finding in findings])
    else:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in ("", "what", "found", "what to do"):
            table.add_column(column, overflow="fold")
        for finding in findings:
            table.add_row(_MARKS[finding.state], finding.what, finding.found, finding.fix)
        console.print(table)
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)


def _python() -> Finding:
    found = f"{sys.version.split()[0]} at {sys.executable}"
    return Finding(what="python", found=found)


def _packages() -> Finding:
    parts = {"dvc": "", "prefect": "", "great_expectations": "big-data", "torch": "compute", "ray": "compute",
             "transformers": "distribution", "pypdfium2": "formats"}  # fmt: skip
    missing = sorted({extra for name, extra in parts.items() if find_spec(name) is None})
    if missing:
        extras = ",".join(extra for extra in missing if extra) or "all"
        return Finding(
            what="packages", state="fail", found=f"missing for: {', '.join(missing)}",
            fix=f"`pip install -r requirements.lock` or `pip install -e '.[{extras}]'`",
        )  # fmt: skip
    return Finding(what="packages", found="all stages can run")


def _workspace() -> Finding:
    try:
        settings = Settings.load()
    except (WorkspaceError, SettingsError) as error:
        return Finding(what="workspace", state="fail", found=str(error), fix="change to a git clone of the project")
    return Finding(what="workspace", found=str(settings.workspace))


def _git() -> Finding:
    program = shutil.which("git")
    if program is None:
        return Finding(what="git", state="fail", found="not found", fix="install git")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return Finding(what="git", found=version)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    found = f"{free / _GIB:.0f} GiB free"
    if free < 2 * _GIB:
        return Finding(what="disk", state="fail", found=found, fix="free at least 2 GiB, or move ABCD_DVC_CACHE")
    return Finding(what="disk", found=found)


def _memory() -> Finding:
    free = psutil.virtual_memory().available
    found = f"{free / _GIB:.1f} of {psutil.virtual_memory().total / _GIB:.1f} GiB available"
    if free < 4 * _GIB:
        return Finding(what="memory", state="warn", found=found, fix="a default run takes up to 4 GiB: close others")
    return Finding(what="memory", found=found)


def _cores() -> Finding:
    cores = usable_cores()
    load = os.getloadavg()[0]
    found = f"{cores} cores, load {load:.1f}"
    if load > cores:
        return Finding(what="cores", state="warn", found=found, fix="other programs keep the cores busy")
    return Finding(what="cores", found=found)


def _gpu() -> Finding:
    if find_spec("torch") is None:
        return Finding(what="gpu", state="warn", found="torch is not installed", fix="pip install -e '.[compute]'")
    import torch

    if not torch.cuda.is_available():
        return Finding(what="gpu", found="none that torch can use; training runs on CPU cores (preset nano)")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding(what="gpu", found=", ".join(names))


def _lock() -> Finding:
    try:
        settings = Settings.load()
    except (WorkspaceError, SettingsError):
        return Finding(what="lock", state="warn", found="no workspace here", fix="see workspace")
    if is_held(settings.state):
        return Finding(
            what="lock", state="warn", found=f"held by {describe_holder(settings.state)}",
            fix="wait for it, or stop that process",
        )  # fmt: skip
    return Finding(what="lock", found="free")


def _notify() -> Finding:
    """Whether `ABCD_NOTIFY` names something; nothing is sent."""
    try:
        url = Settings.load().notify
    except (WorkspaceError, SettingsError):
        return Finding(what="notify", state="warn", found="no workspace here", fix="see workspace")
    if not url.get_secret_value():
        return Finding(what="notify", found="nobody is told of a run's end; ABCD_NOTIFY names who would be")
    from flows.notify import NotifyError, kind_of

    try:
        return Finding(what="notify", found=f"{kind_of(url)} is told of releases, refusals and failures")
    except NotifyError as error:
        return Finding(what="notify", state="fail", found=str(error), fix="see docs/what-you-see.md for ABCD_NOTIFY")


def _ports() -> Finding:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        return Finding(what="ports", state="fail", found=f"cannot listen on 127.0.0.1: {error}", fix="allow loopback")
    return Finding(what="ports", found="can listen on 127.0.0.1")


CHECKS: tuple[Callable[[], Finding], ...] = (
    _python, _packages, _workspace, _git, _disk, _memory, _cores, _gpu, _lock, _notify, _ports,
)  # fmt: skip
