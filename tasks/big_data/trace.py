"""From a document to its source and its tokens, and from tokens back: read from what the steps left, without texts.

Ids, uris and digests are columns of their own and carry statistics: a million documents take a tenth of a second.
"""

import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from data_contracts.pieces import (
    HELD_OUT,
    PIECES,
    TRAIN,
    index_part,
    index_parts,
    is_packed,
    read_pieces,
    with_starts,
)
from infra.settings import Settings
from tasks.big_data.answers import find
from tasks.big_data.documents import REJECTED, document_id, name_of
from tasks.big_data.manifest import MANIFEST
from tasks.report import StepError

STEPS = ("ingest", "clean", "privacy", "dedup", "validate")
_ID = re.compile(r"[0-9a-f]{32}")
_SHOWN = 5


class Traced(BaseModel):
    """Base of what is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Did(Traced):
    """What one step did with a document."""

    step: str
    outcome: Literal["kept", "changed", "dropped"]
    reasons: tuple[str, ...] = Field(default=(), description="why it was dropped")
    shard: str = Field(description="file of the step's output that the row is in")
    sha256: str = Field(description="digest of the text after the step")


class Place(Traced):
    """Where tokens of a document are."""

    split: str
    epoch: int = Field(description="the how manieth time it stands in the stream, from 0")
    offset: int = Field(description="first token in the stream")
    tokens: int = Field(description="with the end token")


class SourceRow(Traced):
    """A row of a database's answer."""

    query: str
    position: int = Field(description="its number in the answer, from 1, in the order that docs/sources.md tells")


class Trace(Traced):
    """All that is known of one document."""

    id: str
    uri: str
    source: str
    source_file: dict[str, Any] | None = Field(description="line of the manifest: name, bytes, digest")
    source_row: SourceRow | None = Field(description="of a database: what was asked, and which row of the answer")
    steps: tuple[Did, ...]
    side: Literal["train", "held_out", "left_out", "dropped", "not_packed"]
    places: tuple[Place, ...]


class Held(Traced):
    """A document that has part in a run of tokens."""

    id: str
    uri: str
    source: str
    place: Place
    first: int = Field(description="first token of the run that is of it, in the stream")
    stop: int = Field(description="first token after")


def trace_document(settings: Settings, name: str) -> Trace:
    """A document by its uri or id.

    Raises:
        StepError: there are no documents, or none of this name.
    """
    artifacts = settings.artifacts
    id_ = name if _ID.fullmatch(name) else document_id(name)
    is_uri = id_ != name
    found = _first(artifacts, id_, name if is_uri else None)
    if found is None:
        raise StepError(_unknown(artifacts, name))
    row, shard = found
    steps = tuple(_steps(artifacts, id_, shard))
    places = places_of(artifacts / "pack", id_, name_of(shard))
    asked = find(settings.snapshots, row["uri"])
    return Trace(
        id=id_, uri=row["uri"], source=row["source"],
        source_file=source_file(artifacts / "discover", asked.file if asked else row["uri"]),
        source_row=SourceRow(query=asked.query, position=asked.position) if asked else None,
        steps=steps, side=_side(artifacts, steps, places), places=places,
    )  # fmt: skip


def documents_at(settings: Settings, split: str, start: int, stop: int) -> tuple[Held, ...]:
    """Documents that tokens `start` to `stop` (exclusive) of a stream are of, in their order.

    Raises:
        StepError: nothing is packed, or the stream has no such token.
    """
    pack = settings.artifacts / "pack"
    if not is_packed(pack):
        raise StepError(f"expected packed documents, found no {pack / PIECES}; make them first: `dvc repro pack`")
    total = sum(piece.tokens for piece in read_pieces(pack, split))
    if not 0 <= start < min(stop, total):
        raise StepError(f"expected a token from 0 to {total - 1:,} of the {split} stream, found {start:,}")
    touches = (pl.col("offset") < stop) & (pl.col("offset") + pl.col("tokens") > start)
    rows = pl.concat(part.filter(touches) for part in index_parts(pack, split, run=(start, stop)))
    return tuple(
        Held(id=row["id"], uri=row["uri"], source=row["source"], place=_place(row), first=max(start, row["offset"]),
             stop=min(stop, row["offset"] + row["tokens"]))
        for row in rows.iter_rows(named=True)
    )  # fmt: skip


def places_of(pack: Path, id_: str, shard: str) -> tuple[Place, ...]:
    """Where a document of this shard is in the streams."""
    if not is_packed(pack):
        return ()
    found = []
    for split in (TRAIN, HELD_OUT):
        for at, piece in with_starts(read_pieces(pack, split)):
            if piece.split == HELD_OUT or piece.name == shard:
                rows = index_part(pack, piece, ["id", "split", "epoch", "offset", "tokens"], at=at)
                found += rows.filter(pl.col("id") == id_).sort("epoch").rows(named=True)
    return tuple(_place(row) for row in found)


def source_file(discover: Path, uri: str) -> dict[str, Any] | None:
    """Line of the manifest of the file that a document came from; "#" and "!" part a row and a member from it."""
    ends = [len(uri), *(number for number, sign in enumerate(uri) if sign in "#!")]
    try:
        with (
            (discover / MANIFEST).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as lines,
        ):
            for end in sorted(ends, reverse=True):
                sought = f'"uri": {json.dumps(uri[:end], ensure_ascii=False)}'.encode()
                if (place := lines.find(sought)) >= 0:
                    line: dict[str, Any] = json.loads(lines[lines.rfind(b"\n", 0, place) + 1 : _end(lines, place)])
                    return line
    except (OSError, ValueError):  # there is no manifest, or it is empty
        return None
    return None


def _end(lines: mmap.mmap, place: int) -> int:
    end = lines.find(b"\n", place)
    return end if end >= 0 else len(lines)


def _first(artifacts: Path, id_: str, uri: str | None) -> tuple[dict[str, Any], str] | None:
    """Row of `ingest` and the file that it is in, of an accepted or a rejected document."""
    for folder in (artifacts / "ingest", artifacts / "ingest" / REJECTED):
        if not any(folder.glob("part-*.parquet")):
            continue
        rows = pl.scan_parquet(folder / "part-*.parquet", include_file_paths="file")
        # By its uri only the shards that may have it are read.
        is_it = pl.col("id") == id_ if uri is None else (pl.col("uri") == uri) & (pl.col("id") == id_)
        found = rows.filter(is_it).select("id", "uri", "source", "file").head(1).collect()
        if found.height:
            return found.row(0, named=True), Path(found["file"][0]).name
    return None


def _steps(artifacts: Path, id_: str, shard: str) -> Iterator[Did]:
    """What each step did with a document; a shard keeps its name from step to step."""
    before = ""
    for step in STEPS:
        kept = _row(artifacts / step / shard, id_, ["digest"])
        if kept:
            outcome: Literal["kept", "changed"] = "changed" if before and kept["digest"] != before else "kept"
            before = kept["digest"]
            yield Did(step=step, outcome=outcome, shard=shard, sha256=before)
            continue
        dropped = _row(artifacts / step / REJECTED / shard, id_, ["digest", "reasons"])
        if dropped:
            where = f"{REJECTED}/{shard}"
            yield Did(step=step, outcome="dropped", reasons=dropped["reasons"], shard=where, sha256=dropped["digest"])
        return


def _row(path: Path, id_: str, columns: list[str]) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    rows = pl.scan_parquet(path, glob=False).filter(pl.col("id") == id_).select(columns).head(1).collect()
    return rows.row(0, named=True) if rows.height else None


def _side(
    artifacts: Path, steps: tuple[Did, ...], places: tuple[Place, ...]
) -> Literal["train", "held_out", "left_out", "dropped", "not_packed"]:
    if places:
        return "held_out" if places[0].split == HELD_OUT else "train"
    if steps[-1].outcome == "dropped":
        return "dropped"
    return "left_out" if is_packed(artifacts / "pack") and steps[-1].step == STEPS[-1] else "not_packed"


def _place(row: dict[str, Any]) -> Place:
    return Place(split=row["split"], epoch=row["epoch"], offset=row["offset"], tokens=row["tokens"])


def _unknown(artifacts: Path, name: str) -> str:
    """What may have been meant: documents whose name has this in it."""
    folder = artifacts / "ingest"
    if not any(folder.glob("part-*.parquet")):
        return f"expected documents, found none in {folder}; make them first: `dvc repro ingest`"
    rows = pl.scan_parquet(folder / "part-*.parquet").filter(pl.col("uri").str.contains(name, literal=True))
    some = rows.select("uri").head(_SHOWN).collect()["uri"].to_list()
    hint = f"documents with this in their name: {', '.join(some)}" if some else "none has this in its name either"
    return f"no document is called {name!r} or has this id; {hint}"
