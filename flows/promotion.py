"""`abcd promote`, `rollback`, `history`: who is the champion, by whose word, and who was it before."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.releases import AsJson, Ref
from infra.settings import Settings
from tasks.distribution import catalogue, promotion

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the model, as in `abcd releases`.")]


def promote(ref: Ref) -> None:
    """Make a release the champion because you say so: what the gate leaves to a person."""
    done = promotion.promote(Settings.load(), ref)
    Console().print(f"{done.ref} is the champion now{_instead_of(done)}", soft_wrap=True)


def rollback(
    name: Name,
    *,
    to: Annotated[
        str | None, typer.Option(metavar="vN", help="An earlier champion; the one before the present if not given.")
    ] = None,
) -> None:
    """Make an earlier champion the champion again; no later run takes that back by itself."""
    done = promotion.rollback(Settings.load(), name, to)
    Console().print(
        f"{done.ref} is the champion again{_instead_of(done)}; who pulls {name}@champion gets it from now on",
        soft_wrap=True,
    )


def history(name: Name, *, as_json: AsJson = False) -> None:
    """List every entry of a model's signed log: releases with the gate's decision, and each move of an alias."""
    rows = catalogue.list_history(Settings.load(), name)
    console = Console()
    if as_json:
        console.print_json(data=[row.model_dump() for row in rows])
        return
    table = Table("entry", "when (UTC)", "what", box=None)
    for row in rows:
        table.add_row(str(row.sequence), row.at[:19].replace("T", " "), _what(row))
    console.print(table)


def _instead_of(done: promotion.Promotion) -> str:
    if done.before == done.version:
        return ", as it was before"
    return f" instead of v{done.before}" if done.before else ""


def _what(row: catalogue.HistoryRow) -> str:
    if row.key:
        return f"key {row.key[:16]}… signs this log"
    if row.alias:
        before = f"v{row.before}" if row.before else "nothing"
        return f"{row.alias}: {before} → v{row.version}{', again' if row.is_return else ''}"
    quality = "" if row.bits_per_byte is None else f", {row.bits_per_byte:.3f} bits per byte"
    return f"[bold]released v{row.version}[/]{quality}; the gate said: {row.decision}"
