"""The manifest: one line a source file in the order of uris, written by `discover`, read by `ingest`."""

import json
from collections.abc import Iterable
from pathlib import Path

from data_contracts.records import SourceFile
from tasks.report import StepError

MANIFEST = "sources.jsonl"


def write_manifest(out: Path, files: Iterable[SourceFile]) -> None:
    """Write the manifest of a step's output folder."""
    lines = (json.dumps(file.model_dump(), ensure_ascii=False) for file in sorted(files, key=lambda file: file.uri))
    (out / MANIFEST).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")


def read_manifest(folder: Path) -> list[SourceFile]:
    """Source files that `discover` found.

    Raises:
        StepError: there is no manifest, or it is not what `discover` writes.
    """
    path = folder / MANIFEST
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            return [SourceFile.model_validate_json(line) for line in lines]
    except FileNotFoundError:
        raise StepError(f"expected a manifest, found no {path}; make it first: `dvc repro discover`") from None
    except ValueError as error:
        raise StepError(f"{path} is no manifest: {error}; make it again: `abcd discover`") from None


def compared(before: Iterable[SourceFile], after: Iterable[SourceFile]) -> dict[str, int]:
    """How many source files came, changed, went and stayed, by uri and digest."""
    old = {file.uri: file.sha256 for file in before}
    new = {file.uri: file.sha256 for file in after}
    both = old.keys() & new.keys()
    changed = sum(old[uri] != new[uri] for uri in both)
    gone = len(old) - len(both)
    return {"new": len(new) - len(both), "changed": changed, "deleted": gone, "unchanged": len(both) - changed}
