"""Documents become token streams: one to train on, one to judge by, and an index of which document is where."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.encoder import Encoder
from tasks.big_data.split import held_out, trained_before
from tasks.params import Params
from tasks.progress import Progress
from tasks.report import Report

TRAIN, HELD_OUT = "train", "held_out"
_INDEX_SCHEMA = pl.Schema(
    {"id": pl.String(), "uri": pl.String(), "group": pl.String(), "split": pl.String(), "offset": pl.Int64(),
     "tokens": pl.Int64(), "bytes": pl.Int64()}
)  # fmt: skip


class Packed(NamedTuple):
    """One document: its tokens with the end token, and where it came from."""

    id: str
    uri: str
    group: str
    text: str
    tokens: np.ndarray


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write `train.npy`, `held_out.npy`, `documents.parquet` and `held_out.parquet`, all in the order of ids.

    Raises:
        StepError: there is no tokenizer, or too few documents to hold one out.
    """
    source = settings.artifacts / "validate"
    encoder = Encoder(settings.artifacts / "tokenizer" / "tokenizer.json", _sample(source))
    kept_back = held_out(
        documents.read(source, ["id", "digest"]), params.pack, trained_before(settings.artifacts / "discover")
    )
    progress = settings.runs / "progress" / "pack.json"
    splits: dict[str, list[Packed]] = {TRAIN: [], HELD_OUT: []}
    shards = documents.read_index(source)
    with Progress("pack", total=len(shards), unit="shards", file=progress) as shown:
        for shard in shown.over(shards):
            for document in encode(documents.read_shard(source, shard.name), encoder):
                splits[HELD_OUT if document.id in kept_back else TRAIN].append(document)
    for packed in splits.values():
        packed.sort(key=lambda document: document.id)
    kind = np.uint16 if encoder.vocab_size <= np.iinfo(np.uint16).max else np.uint32
    for split, packed in splits.items():
        np.save(out / f"{split}.npy", np.concatenate([document.tokens for document in packed]).astype(kind))
    index = pl.concat(_index(split, packed) for split, packed in splits.items())
    documents.write_table(out / "documents.parquet", index)
    documents.write_table(out / "held_out.parquet", _texts(splits[HELD_OUT]))
    return _report(index, str(np.dtype(kind)))


def encode(frame: pl.DataFrame, encoder: Encoder) -> Iterator[Packed]:
    """Tokens of each document, then the end token."""
    ids, counts = encoder.encode(frame["text"])
    rows = frame.select("id", "uri", "group", "text").iter_rows()
    for (id_, uri, group, text), end, count in zip(rows, np.cumsum(counts), counts, strict=True):
        yield Packed(id_, uri, group, text, ids[end - count : end])


def _sample(source: Path) -> Iterator[str]:
    """A few documents of the run, which both tokenizer libraries must agree on."""
    for shard in documents.read_index(source)[:1]:
        yield from documents.read_shard(source, shard.name, ["text"])["text"].head(64)


def _index(split: str, packed: list[Packed]) -> pl.DataFrame:
    """Where each document of a stream is; offset and length in tokens."""
    ends = np.cumsum([0, *(len(document.tokens) for document in packed)])
    rows = [
        (
            document.id,
            document.uri,
            document.group,
            split,
            int(start),
            len(document.tokens),
            len(document.text.encode()),
        )
        for document, start in zip(packed, ends[:-1], strict=True)
    ]
    return pl.DataFrame(rows, schema=_INDEX_SCHEMA, orient="row")


def _texts(packed: list[Packed]) -> pl.DataFrame:
    rows = [(document.id, document.uri, document.group, document.text) for document in packed]
    return pl.DataFrame(rows, schema=dict.fromkeys(("id", "uri", "group", "text"), pl.String), orient="row")


def _report(index: pl.DataFrame, kind: str) -> Report:
    facts: dict[str, object] = {"dtype": kind}
    for split in (TRAIN, HELD_OUT):
        mine = index.filter(pl.col("split") == split)
        tokens, size = int(mine["tokens"].sum()), int(mine["bytes"].sum())
        facts[split] = {
            "documents": mine.height,
            "groups": mine["group"].n_unique(),
            "tokens": tokens,
            "bytes": size,
            "bytes_per_token": round(size / tokens, 4),
        }
    train, held = (index.filter(pl.col("split") == split)["tokens"].sum() for split in (TRAIN, HELD_OUT))
    return Report(
        step="pack",
        summary=f"{train:,} tokens to train on, {held:,} held out",
        rows_in=index.height,
        rows_out=index.height,
        rows_rejected=0,
        facts=facts,
    )
