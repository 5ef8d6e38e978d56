"""`abcd gc`: what no release, no run and no kept failure needs is shown, and then removed."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Column, Table

from flows.graph import StaleUpstreamError, require_current
from infra import finished_checkouts
from infra.checkout import no_new_checkout, running
from infra.dvc_lock import dvc_lock
from infra.lock import LockedError, workspace_lock
from infra.settings import Settings
from infra.unused import Unused, unfinished
from infra.workspace import prepare
from tasks import params
from tasks.__main__ import STEPS

_READ_BY_TRAIN = list(STEPS)[: list(STEPS).index("train")]


def gc(
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show only.")] = False,
    remote: Annotated[
        bool,
        typer.Option(
            "--remote",
            help="Also objects in the DVC remote that this clone's git refs and the registry do not name. "
            "Not while another workspace publishes, nor where other projects use the remote.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; without --yes nothing is removed.")] = False,
) -> None:
    """Remove what no release, no running run and no kept failure needs; show it first, and ask.

    Releases, the workspace, every git branch, tag and stash, and an interrupted training keep all that they need.
    """
    settings, console = Settings.load(), Console()
    prepare(settings)
    with _still(settings) as stale:
        found = survey(settings, stale=stale, remote=remote)
    if not as_json:
        _show(found, console)
    anything = any(unused.files for unused in found)
    removed = anything and not dry_run and (yes or (not as_json and _ask(console)))
    if removed:
        with _still(settings) as stale:
            remove(survey(settings, stale=stale, remote=remote), shown=found)
    if as_json:
        console.print_json(data=_as_json(found, removed=removed))
    elif removed:
        console.print(f"removed {_how_much(found)}")


def survey(settings: Settings, *, stale: str, remote: bool) -> list[Unused]:
    """What each room says of its own, in the order in which it may go."""
    # Here, because the command line starts faster without them.
    from tasks.big_data import unused as big_data
    from tasks.compute import unused as compute
    from tasks.distribution import unused as distribution

    now = time.time()
    return [
        *distribution.unused(settings, remote=remote, now=now),
        *compute.unused(settings, stale=stale),
        *big_data.unused(params.load(settings.workspace / params.PARAMS_FILE), settings),
        *unfinished(settings, now),
        *finished_checkouts.unused(settings, now),
    ]


def remove(found: Sequence[Unused], *, shown: Sequence[Unused]) -> None:
    """Remove what is still unused of what was shown.

    Raises:
        StorageError: a file cannot be removed; those after it stay.
    """
    for unused in found:
        unused.only(shown).remove()


@contextmanager
def _still(settings: Settings) -> Iterator[str]:
    """Nothing runs here for the length of the block; why what train reads is not what a run would make now."""
    with workspace_lock(settings.state, what="abcd gc", timeout_seconds=0):
        stale = ""
        try:
            require_current(_READ_BY_TRAIN, settings)
        except StaleUpstreamError as error:
            stale = str(error)
        with dvc_lock(settings), no_new_checkout(settings):
            if at_work := running(settings, time.time()):
                raise LockedError(f"a run is at work in {at_work[0]}; wait for it to end, or stop it")
            yield stale


def _ask(console: Console) -> bool:
    """Ask the person at the terminal; where there is none the answer is no."""
    if sys.stdin.isatty() and typer.confirm("remove these files?"):
        return True
    console.print("nothing was removed; type `abcd gc --yes` to remove without being asked")
    return False


def _how_much(found: Sequence[Unused]) -> str:
    return f"{sum(len(unused.files) for unused in found):,} files, {decimal(sum(unused.size for unused in found))}"


def _show(found: Sequence[Unused], console: Console) -> None:
    table = Table("kind", Column("files", justify="right"), Column("size", justify="right"), "why", "where", box=None)
    for unused in found:
        if unused.files:
            table.add_row(
                unused.kind, f"{len(unused.files):,}", decimal(unused.size), unused.why, escape(unused.store.root)
            )
    if table.row_count:
        console.print(table)
    console.print(f"not needed: {_how_much(found)}")
    for unused in found:
        if unused.left_alone:
            console.print(f"{unused.kind}: left alone, {escape(unused.left_alone)}", soft_wrap=True, highlight=False)


def _as_json(found: Sequence[Unused], *, removed: bool) -> dict[str, Any]:
    kinds = [
        {
            "kind": unused.kind,
            "why": unused.why,
            "left_alone": unused.left_alone,
            "where": unused.store.root,
            "size": unused.size,
            "files": [file.name for file in unused.files],
        }
        for unused in found
    ]
    return {"removed": removed, "size": sum(unused.size for unused in found), "kinds": kinds}
