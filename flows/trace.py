"""`abcd trace`: from a document to its source and its training rows, and back."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from flows.releases import AsJson
from infra.settings import Settings
from tasks.report import StepError

_SHOWN_ROWS = 10
_SIDES = {
    "train": "trained on",
    "held_out": "held out: the model is judged by it and learns nothing from it",
    "left_out": "left out of training by the weight of its source",
    "dropped": "in neither stream",
    "not_packed": "not packed yet",
}


def trace(
    document: Annotated[str | None, typer.Argument(help="Uri or id of a document.")] = None,
    *,
    row: Annotated[
        int | None, typer.Option("--row", min=0, help="A training row: the sequence with this number, from 0.")
    ] = None,
    token: Annotated[int | None, typer.Option("--token", min=0, help="A token of the training stream.")] = None,
    held_out: Annotated[bool, typer.Option("--held-out", help="--token counts in the held-out stream.")] = False,
    release: Annotated[
        str | None, typer.Option(metavar="NAME@VERSION", help="Also say whether this release was trained on it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Follow a document from its source file through each step to its tokens, or go from tokens back to the source."""
    if sum(given is not None for given in (document, row, token)) != 1:
        raise typer.BadParameter("give a DOCUMENT, or --row N, or --token N")
    settings, console = Settings.load(), Console()
    if document is not None:
        found = _document(settings, document, release)
        console.print_json(data=found) if as_json else _print_document(console, found)
        return
    found = (
        _row(settings, row) if row is not None else _token(settings, token or 0, "held_out" if held_out else "train")
    )
    console.print_json(data=found) if as_json else _print_tokens(console, found)


def _document(settings: Settings, name: str, release: str | None) -> dict[str, Any]:
    from tasks.big_data.trace import trace_document

    found = trace_document(settings, name)
    said: dict[str, Any] = found.model_dump(mode="json")
    if found.side == "train":
        batches, rows = _batches(settings), set[int]()
        if batches is not None:
            for place in found.places:
                rows.update(batches.rows_of(place.offset, place.offset + place.tokens).tolist())
        said["first_epoch_rows"] = sorted(rows)
    if release:
        from tasks.distribution.trained import was_trained_on

        said["release"] = was_trained_on(settings, release, found.id, [step.sha256 for step in found.steps])
    return said


def _row(settings: Settings, number: int) -> dict[str, Any]:
    from tasks.big_data.trace import documents_at

    batches = _batches(settings)
    if batches is None:
        raise StepError("nothing is packed that could have rows; make it first: `dvc repro pack`")
    start = int(batches.offsets(number)[0])
    # What is predicted: each token's next one belongs to the row too.
    stop = start + batches.sequence_length + 1
    held = documents_at(settings, "train", start, stop)
    return {"row": number, "split": "train", "first": start, "stop": stop, "documents": _dumped(held)}


def _token(settings: Settings, number: int, split: str) -> dict[str, Any]:
    from tasks.big_data.trace import documents_at

    held = documents_at(settings, split, number, number + 1)
    return {"split": split, "first": number, "stop": number + 1, "documents": _dumped(held)}


def _dumped(held: Any) -> list[dict[str, Any]]:
    return [one.model_dump(mode="json") for one in held]


def _batches(settings: Settings) -> Any:
    """Which part of the stream each training row is, with the params of this workspace; None: there is no stream."""
    from data_contracts.pieces import is_packed
    from tasks import params
    from tasks.compute.batches import Batches, open_stream

    pack = settings.artifacts / "pack"
    if not is_packed(pack):
        return None
    given = params.load(settings.workspace / params.PARAMS_FILE)
    return Batches(open_stream(pack), given.blueprint.sequence_length, 1, given.train.seed)


def _print_document(console: Console, found: dict[str, Any]) -> None:
    """One line for each thing that happened to it."""

    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    say(f"[bold]{escape(found['uri'])}[/]  id {found['id']}")
    file = found["source_file"]
    if file:
        say(f"source    {escape(file['uri'])}, {file['size']:,} bytes, SHA-256 {file['sha256']}")
    if asked := found["source_row"]:
        say(f"          row {asked['position']:,} of the answer to {escape(' '.join(asked['query'].split()))}")
    say(f"          of {escape(found['source'])} in discover.sources")
    for did in found["steps"]:
        why = f": {', '.join(did['reasons'])}" if did["reasons"] else ""
        where = Path("artifacts", did["step"], did["shard"])
        say(f"{did['step']:<10}{did['outcome']}{escape(why)}  [dim]{escape(str(where))}[/]")
    say(f"side      {_SIDES[found['side']]}")
    for place in found["places"]:
        last = place["offset"] + place["tokens"] - 1
        say(f"tokens    {place['offset']:,} to {last:,} of the {place['split']} stream, time {place['epoch'] + 1}")
    rows = found.get("first_epoch_rows", [])
    if rows:
        more = f" and {len(rows) - _SHOWN_ROWS:,} more" if len(rows) > _SHOWN_ROWS else ""
        say(f"rows      {', '.join(f'{row:,}' for row in rows[:_SHOWN_ROWS])}{more}, in the first pass over the stream")
    if "release" in found:
        told = found["release"]
        say(f"release   {told['release']}: {'trained' if told['trained_on'] else 'not trained'} on this name or text")


def _print_tokens(console: Console, found: dict[str, Any]) -> None:
    """The run of tokens, and each document that has part in it."""
    first, last = found["first"], found["stop"] - 1
    span = f"token {first:,}" if first == last else f"tokens {first:,} to {last:,}"
    row = f"row {found['row']:,} is " if "row" in found else ""
    console.print(f"{row}{span} of the {found['split']} stream", highlight=False)
    for held in found["documents"]:
        place = held["place"]
        console.print(
            f"{held['first']:>12,} to {held['stop'] - 1:,}  [bold]{escape(held['uri'])}[/]  "
            f"from its token {held['first'] - place['offset']:,} of {place['tokens']:,}, "
            f"source {escape(held['source'])}, id {held['id']}",
            highlight=False,
            soft_wrap=True,
        )
