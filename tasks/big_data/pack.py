"""Documents become token streams: one to train on, one to judge by, and an index of which document is where.

The training stream has the shards in the order of the sources, and in each shard its documents shuffled by a hash of
seed, id and epoch, as often as the weight of their source says. Training draws windows from all of the stream at
random (`tasks/compute/batches.py`), so that this order only decides which documents share a window. Held-out documents
are in the order of their ids, once each.
"""

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from data_contracts.checking import check
from data_contracts.contract import PACKED, Contract
from data_contracts.tables import packed_tables
from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.documents import Shard
from tasks.big_data.encoder import Encoder
from tasks.big_data.engine import engine
from tasks.big_data.memory import Memory, key_of
from tasks.big_data.packed import INDEX_SCHEMA, Common, Job, pack_shard
from tasks.big_data.sides import HELD_OUT, TRAIN, held_out_ids
from tasks.big_data.streams import Table, opened, sorted_by_id
from tasks.params import Params
from tasks.progress import Progress
from tasks.report import Report, StepError

_PIECES = ".pieces"
_HELD_OUT_SCHEMA = dict.fromkeys(("id", "uri", "group", "text"), pl.String())
# Of held-out text in memory at a time.
_AT_ONCE = 16 << 20
_SAMPLE = 64
_DECIMALS = 4


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write `train.npy`, `held_out.npy`, `documents.parquet` (in the order of the streams) and `held_out.parquet`.

    Raises:
        StepError: there is no tokenizer, too few documents to hold one out, or weights that leave none to train on.
    """
    source, file = settings.artifacts / "validate", settings.artifacts / "tokenizer" / "tokenizer.json"
    if not file.is_file():
        raise StepError(f"expected a tokenizer, found no {file}; make it first: `dvc repro tokenizer`")
    shards, tokenizer = documents.read_index(source), file.read_bytes()
    encoder = Encoder.checked(tokenizer, _sample(source, shards))
    kept_back = held_out_ids(settings, source)
    pieces = out / _PIECES
    weights = {given.uri: given.weight for given in params.discover.sources}
    common = Common(tokenizer, encoder.is_fast, params.pack.seed, weights)
    counts = _pieces(source, shards, common, kept_back, settings, pieces)
    if not sum(count["train"] for count in counts):
        raise StepError("no document is left to train on; raise the weights in discover.sources in params.yaml")
    groups = _write(out, pieces, [shard.name for shard in shards], counts, encoder.dtype)
    shutil.rmtree(pieces)
    report = _report(counts, groups, weights, str(encoder.dtype))
    return report.model_copy(update={"facts": {**report.facts, **_checked(out, encoder.vocab_size)}})


def _checked(out: Path, vocab_size: int) -> dict[str, Any]:
    """Which contract the streams and their index keep.

    Raises:
        StepError: they break it.
    """
    checked = check(Contract.read_all(PACKED), packed_tables(out, vocab_size))
    if checked.broken:
        lines = (
            f"{each.table}: rule {each.rule}: expected {each.expected}, found {each.found} "
            f"{', '.join(each.examples)}".rstrip()
            for each in checked.broken
        )
        raise StepError(
            f"what was packed breaks the contract {checked.contract}: {'; '.join(lines)}; if sources have such "
            f"documents, mend them; a limit that is wrong is mended in {PACKED.name}"
        )
    return {"vocab_size": vocab_size, "contract": checked.contract, "rules": checked.rules}


def _sample(source: Path, shards: list[Shard]) -> Iterator[str]:
    """A few documents of the run, which both tokenizer libraries must agree on."""
    for shard in shards[:: max(1, len(shards) // 4)]:
        yield from documents.read_shard(source, shard.name, ["text"])["text"].head(_SAMPLE // 4)


def _pieces(
    source: Path, shards: list[Shard], common: Common, kept_back: frozenset[str], settings: Settings, pieces: Path
) -> list[dict[str, Any]]:
    """Write what becomes of each shard, remembered or made, and count it."""
    memory = Memory(settings.cache / "shards" / "pack")
    # Not whether it is fast: the ids are the same.
    same = (hashlib.sha256(common.tokenizer).hexdigest(), common.seed)
    found: dict[str, dict[str, Any]] = {}
    keys, jobs = {}, []
    for shard in shards:
        frame = documents.read_shard(source, shard.name, ["id", "source"])
        mine = tuple(sorted(kept_back.intersection(frame["id"])))
        weights = {name: common.weights.get(name, 1.0) for name in sorted(frame["source"].unique())}
        keys[shard.name] = key_of("pack", same, weights, mine, shard.name, shard.sha256)
        noted = memory.recall(keys[shard.name], pieces)
        if noted is None:
            jobs.append((shard, common._replace(weights=weights), mine))
        else:
            found[shard.name] = noted
    progress = settings.runs / "progress" / "pack.json"
    with engine(settings) as where, Progress("pack", total=len(jobs), unit="shards", file=progress) as shown:
        given = (Job(each, where.carried(source / documents.part(shard.name)), mine) for shard, each, mine in jobs)
        made = shown.over(where.map(pack_shard, given))
        for (shard, _, _), piece in zip(jobs, made, strict=True):
            parts = (("train", piece.train), ("index", piece.index), ("held_out", piece.held_out))
            files = {f"{shard.name}.{name}": data for name, data in parts}
            memory.keep(keys[shard.name], files, piece.counts, pieces)
            found[shard.name] = piece.counts
    return [found[shard.name] for shard in shards]


def _write(
    out: Path, pieces: Path, names: list[str], counts: list[dict[str, Any]], dtype: np.dtype[Any]
) -> dict[str, int]:
    """Write streams, index and held-out texts; how many groups each split has."""
    lengths = {TRAIN: _sum(counts, "tokens"), HELD_OUT: _sum(counts, "held_out_tokens")}
    groups: dict[str, list[Any]] = {TRAIN: [], HELD_OUT: []}
    with ExitStack() as stack:
        streams = opened(stack, out, lengths, dtype)
        index = stack.enter_context(Table(out / "documents.parquet", INDEX_SCHEMA))
        texts = stack.enter_context(Table(out / "held_out.parquet", _HELD_OUT_SCHEMA))
        offset = 0
        for name, count in zip(names, counts, strict=True):
            streams[TRAIN].copy(pieces / f"{name}.train")
            rows = pl.read_ipc(pieces / f"{name}.index")
            index.write(rows.with_columns(pl.col("offset") + offset))
            groups[TRAIN].append(rows["group"].hash().unique().to_numpy())
            offset += count["tokens"]
        offset = 0
        held = [pieces / f"{name}.held_out" for name in names]
        for rows in sorted_by_id(held, _sum(counts, "held_out_bytes"), _AT_ONCE):
            streams[HELD_OUT].write(rows["tokens"].explode().to_numpy().astype(dtype).tobytes())
            texts.write(rows)
            lengths_here = rows["tokens"].list.len().cast(pl.Int64)
            places = offset + lengths_here.cum_sum() - lengths_here
            extra = {"split": pl.lit(HELD_OUT), "epoch": pl.lit(0, pl.Int32)}
            index.write(rows.with_columns(**extra, offset=places, tokens=lengths_here))
            groups[HELD_OUT].append(rows["group"].hash().unique().to_numpy())
            offset += int(lengths_here.sum())
    return {split: len(np.unique(np.concatenate(found))) for split, found in groups.items()}


def _sum(counts: list[dict[str, Any]], key: str) -> int:
    return sum(count[key] for count in counts)


def _report(counts: list[dict[str, Any]], groups: dict[str, int], weights: dict[str, float], dtype: str) -> Report:
    sources: dict[str, dict[str, Any]] = {}
    for count in counts:
        for name, numbers in count["sources"].items():
            mine = sources.setdefault(name, dict.fromkeys(numbers, 0))
            for key, number in numbers.items():
                mine[key] += number
    trained, held = _sum(counts, "tokens"), _sum(counts, "held_out_tokens")
    for name, mine in sources.items():
        mine["weight"] = weights.get(name, 1.0)
        mine["epochs"] = round(mine["trained_tokens"] / mine["tokens"], _DECIMALS)
        mine["share"] = round(mine["trained_tokens"] / trained, _DECIMALS)
    left_out = sum(mine["left_out"] for mine in sources.values())
    different = sum(mine["documents"] for mine in sources.values()) - left_out
    parts = {
        TRAIN: (different, trained, sum(mine.pop("trained_bytes") for mine in sources.values())),
        HELD_OUT: (_sum(counts, "held_out"), held, _sum(counts, "held_out_bytes")),
    }
    facts: dict[str, Any] = {"dtype": dtype, "sources": dict(sorted(sources.items()))}
    for split, (number, tokens, size) in parts.items():
        facts[split] = {
            "documents": number, "groups": groups[split], "tokens": tokens, "bytes": size,
            "bytes_per_token": round(size / tokens, _DECIMALS),
        }  # fmt: skip
    mixed = ", ".join(f"{name} {mine['epochs']:g} epochs" for name, mine in sorted(sources.items()))
    is_mixed = any(mine["weight"] != 1 for mine in sources.values())
    for name in ("distinct_tokens", "distinct_bytes"):
        facts[TRAIN][name] = sum(mine[name] for mine in sources.values())
    kept = different + _sum(counts, "held_out")
    return Report(
        step="pack",
        summary=f"{trained:,} tokens to train on, {held:,} held out" + (f"; {mixed}" if is_mixed else ""),
        rows_in=kept + left_out,
        rows_out=kept,
        rows_rejected=left_out,
        reasons={"weight": left_out} if left_out else {},
        facts=facts,
    )
