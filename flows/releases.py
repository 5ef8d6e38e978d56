"""`abcd releases`, `show`, `pull`, `verify`, `sample`: what people do with releases."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Column, Table

from flows.runs import describe_age
from infra.settings import Settings
from tasks.distribution import catalogue

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Ref = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="As in python-stdlib@v1 or python-stdlib@champion.")]


def releases(
    name: Annotated[str | None, typer.Argument(help="Only this model's; all if not given.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List what was published: versions, aliases, bits per byte, parameters, the gate's decision; --json has more."""
    rows = catalogue.list_releases(Settings.load(), name)
    console = Console()
    if as_json:
        console.print_json(data=[{"reference": f"{row.name}@v{row.version}", **row.model_dump()} for row in rows])
        return
    if not rows:
        console.print("no release yet: type `abcd run`")
        return
    table = Table(
        Column("release", no_wrap=True),
        "aliases",
        *(Column(name, no_wrap=True) for name in ("age", "bits/byte", "parameters", "active", "gate")),
        box=None,
    )
    for row in rows:
        table.add_row(
            f"[bold]{row.name}@v{row.version}[/]",
            " ".join(row.aliases),
            describe_age(datetime.now(UTC) - datetime.fromisoformat(row.released_at)),
            "" if row.bits_per_byte is None else f"{row.bits_per_byte:.3f}",
            "" if row.parameters is None else f"{row.parameters / 1e6:.2f} M",
            "" if row.active_parameters is None else f"{row.active_parameters / 1e6:.2f} M",
            row.decision,
        )
    console.print(table)


def show(ref: Ref, *, as_json: AsJson = False) -> None:
    """Show one release: whether it is the champion and why, then its record: code, data, params, measurements."""
    found = catalogue.show_release(Settings.load(), ref)
    console = Console()
    if as_json:
        console.print_json(data=found)
        return
    console.print(f"[bold]{found['name']}@v{found['version']}[/]: {escape(found.pop('standing'))}", soft_wrap=True)
    console.print(f"the gate said: {found['decision']}", soft_wrap=True)
    for reason in found.pop("reasons"):
        console.print(f"  - {escape(reason)}", highlight=False, soft_wrap=True)
    console.print()
    _print_tree(console, found)


def pull(ref: Ref, *, to: Annotated[Path, typer.Option(help="An empty or new folder.")]) -> None:
    """Copy a release into a folder that transformers, vLLM and others load; every byte is verified."""
    from tasks.distribution.pull import pull as pull_release

    done = pull_release(Settings.load(), ref, to)
    said = "was already there" if done.already_there else "pulled"
    Console().print(
        f"{done.name}@v{done.version} {said}: {done.files} files, {decimal(done.size)} in {done.folder}, "
        "every byte verified",
        soft_wrap=True,
    )


def verify(
    name: Annotated[str | None, typer.Argument(help="Only this model's log and blobs; all if not given.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Read every entry and every byte of the registry; each problem by name. Exit code 1 if there is one."""
    from tasks.distribution.verify import verify as verify_registry

    found = verify_registry(Settings.load(), name)
    console = Console()
    if as_json:
        console.print_json(found.model_dump_json())
    else:
        for problem in found.problems:
            console.print(f"[red]{escape(problem)}[/]", highlight=False, soft_wrap=True)
        verdict = f"{len(found.problems)} problems" if found.problems else "no problem"
        console.print(
            f"{len(found.models)} models, {found.releases} releases, {found.entries} log entries, "
            f"{found.blobs} blobs ({decimal(found.size)}) read: {verdict}"
        )
        if found.problems:
            console.print("nothing of what is named is used: restore those files from a copy, then verify again")
    if found.problems:
        raise typer.Exit(1)


def sample(
    text: Annotated[str, typer.Argument(help="Beginning of the text to go on with.")],
    *,
    release: Annotated[
        str | None,
        typer.Option(metavar="NAME@VERSION", help="Release that writes; the workspace's newest if not given."),
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, max=4096, help="Tokens to write.")] = 128,
    temperature: Annotated[float, typer.Option(min=0.0, max=5.0, help="0: the likeliest token each time.")] = 0.7,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same text.")] = 1,
) -> None:
    """Let a release go on with a text."""
    from tasks import params
    from tasks.distribution.sample import sample_release

    settings = Settings.load()
    ref = release or f"{params.load(settings.workspace / params.PARAMS_FILE).model_name}@candidate"
    written = sample_release(settings, ref, text, tokens=tokens, temperature=temperature, seed=seed)
    Console().print(f"[bold]{escape(text)}[/]{escape(written)}", highlight=False)


def _print_tree(console: Console, value: Any, depth: int = 0) -> None:
    """Nested values as indented lines; long texts by their first line."""
    for key, item in value.items():
        if isinstance(item, dict) and item:
            console.print(f"{'  ' * depth}[bold]{escape(str(key))}[/]")
            _print_tree(console, item, depth + 1)
        else:
            text = str(item).strip()
            first, *more = text.splitlines() or [""]
            note = f" [dim]({len(more)} more lines; --json shows all)[/]" if more else ""
            console.print(f"{'  ' * depth}{escape(str(key))}: {escape(first[:160])}{note}", highlight=False)
