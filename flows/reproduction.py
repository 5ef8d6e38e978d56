"""`abcd reproduce`: a release or a run made again from its record, every step anew, and each output compared."""

import logging
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.graph import Outcome, StepProcess
from infra.checkout import about_checkout, note_end
from infra.lock import workspace_lock
from infra.settings import Settings
from tasks.distribution.reproduction import (
    TAKEN,
    OutputRow,
    Recipe,
    Reproduction,
    Sources,
    compare,
    environment_of,
    lay_out,
    other_versions,
    recipe_of,
    steps_to_run,
)

logger = logging.getLogger(__name__)


def reproduce(
    ref: Annotated[str, typer.Argument(metavar="NAME@VERSION|RUN", help="A release, or a run as `abcd runs` has it.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Make a release again from its record, and compare every output. Exit code 0: all the same bytes, 1: not.

    The recorded commit, params and raw documents in a checkout of its own; every later step is run, none restored.
    """
    console = Console()
    quiet = Console(stderr=True) if as_json else console
    found = make_again(Settings.load(), ref, say=lambda line: quiet.print(f"[dim]{escape(line)}[/]", highlight=False))
    if as_json:
        console.print_json(found.model_dump_json())
    else:
        _show(found, console)
    if not found.is_same:
        raise typer.Exit(1)


def make_again(settings: Settings, ref: str, *, say: Callable[[str], object]) -> Reproduction:
    """Make a release or a run again, and compare.

    Raises:
        StepError, StorageError, GitError: what the record names cannot be had as it was.
        StepFailedError: a step ended badly.
    """
    recipe, sources = recipe_of(settings, ref), Sources(settings)
    say(f"{recipe.ref}: commit {(recipe.code.commit or '')[:12]}, raw documents from {settings.remote}")
    own = lay_out(settings, recipe, sources)
    is_same = False
    try:
        with workspace_lock(own.state, what=f"reproduce {recipe.ref}"):
            outcomes = {step: _run(step, own, say) for step in steps_to_run(recipe, own.workspace)}
            rows = compare(own, recipe, sources)
        is_same = all(row.is_same for row in rows) and "restored" not in outcomes.values()
    finally:
        note_end(own, ended_well=is_same)
    return _told(recipe, own, outcomes, rows, sources, is_same=is_same)


def describe(found: Reproduction) -> str:
    """What came of it, in one line."""
    same = sum(row.is_same for row in found.outputs)
    verdict = "the same bytes" if found.is_same else "different"
    return (
        f"{found.ref} is {verdict}: {len(found.executed)} steps executed, {len(found.restored)} restored; "
        f"{same} of {len(found.outputs)} outputs have the same bytes"
    )


def _run(step: str, own: Settings, say: Callable[[str], object]) -> Outcome:
    environment = environment_of(own, about_checkout(own) or {"settings": {}})
    with StepProcess(step, own, look_again=False, environment=environment) as process:
        for line in process.lines():
            if line:
                logger.info("%s", line)
    say(f"{step}: {process.outcome()}")
    return process.outcome()


def _told(
    recipe: Recipe, own: Settings, outcomes: dict[str, Outcome], rows: tuple[OutputRow, ...], sources: Sources, *,
    is_same: bool,
) -> Reproduction:  # fmt: skip
    return Reproduction(
        ref=recipe.ref,
        is_same=is_same,
        commit=recipe.code.commit or "",
        is_patched=bool(recipe.code.patch),
        checkout=own.workspace,
        taken=TAKEN,
        executed=tuple(step for step, outcome in outcomes.items() if outcome == "ran"),
        restored=tuple(step for step, outcome in outcomes.items() if outcome != "ran"),
        outputs=rows,
        damaged=tuple(sources.damaged),
        other_versions=other_versions(recipe),
    )


def _show(found: Reproduction, console: Console) -> None:
    table = Table("step", "output", "bytes", "difference", box=None)
    for row in found.outputs:
        same = "[green]same[/]" if row.is_same else "[red]different[/]"
        table.add_row(row.step, row.path, same, escape(row.difference))
    console.print(table)
    for where in found.damaged:
        console.print(f"[red]changed in the store, and not used:[/] {escape(where)}", soft_wrap=True)
    if not found.is_same:
        for name, change in found.other_versions.items():
            console.print(f"{name} was {escape(change)}", highlight=False)
    console.print(f"[bold]{escape(describe(found))}[/]", soft_wrap=True)
    console.print(f"it is in {found.checkout}", soft_wrap=True, highlight=False)
