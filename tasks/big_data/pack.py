"""Documents become token streams: one to train on, one to judge by, and an index of which document is where.

The training stream is in pieces (`data_contracts/pieces.py`), one a shard, in the order of the sources; in each the
documents of the shard are shuffled by a hash of seed, id and epoch, as often as the weight of their source says. A
piece that did not change is linked and not copied. Training draws windows from all of the stream at random
(`tasks/compute/batches.py`), so that this order only decides which documents share a window. Held-out documents are in
the order of their ids, once each, in one piece.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from data_contracts.checking import Broken, check, check_piece, title_of
from data_contracts.contract import PACKED
from data_contracts.pieces import HELD_OUT, TEXTS, TRAIN, Piece, index_file, index_part, tokens_file, write_pieces
from data_contracts.tables import piece_row, whole_tables
from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.documents import Shard
from tasks.big_data.encoder import Encoder
from tasks.big_data.engine import engine
from tasks.big_data.memory import Memory, key_of
from tasks.big_data.packed import INDEX_SCHEMA, PIECES_FOLDER, Common, Job, contracts, held_out_file, pack_shard
from tasks.big_data.sides import chosen, require_held_out
from tasks.big_data.streams import Flat, Table, sorted_by_id
from tasks.params import Params
from tasks.progress import Progress
from tasks.report import Report, StepError

_HELD_OUT_SCHEMA = dict.fromkeys(("id", "uri", "group", "text"), pl.String())
# Of held-out text in memory at a time.
_AT_ONCE = 8 << 20
_SAMPLE = 64
_DECIMALS = 4
_SHOWN = 3


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write the pieces of the stream to train on, `held_out.npy` and `held_out.parquet`, all with their index.

    Raises:
        StepError: there is no tokenizer, too few documents to hold one out, weights that leave none to train on, or
            what is packed breaks its contract.
    """
    source, file = settings.artifacts / "validate", settings.artifacts / "tokenizer" / "tokenizer.json"
    if not file.is_file():
        raise StepError(f"expected a tokenizer, found no {file}; make it first: `dvc repro tokenizer`")
    shards, tokenizer = documents.read_index(source), file.read_bytes()
    encoder = Encoder.checked(tokenizer, _sample(source, shards))
    weights = {given.uri: given.weight for given in params.discover.sources}
    common = Common(tokenizer, encoder.is_fast, params.pack.seed, weights)
    counts = _pieces(source, shards, common, settings, out)
    pieces = [piece for count in counts if (piece := Piece(**count["train"])).documents]
    if not pieces:
        raise StepError("no document is left to train on; raise the weights in discover.sources in params.yaml")
    pieces.append(_hold_out(out, [shard.name for shard in shards], counts, encoder.dtype))
    shutil.rmtree(out / PIECES_FOLDER)
    write_pieces(out, pieces)
    facts = _check(out, pieces, encoder.vocab_size)
    report = _report(counts, _groups(out, pieces), weights, str(encoder.dtype))
    return report.model_copy(update={"facts": {**report.facts, **facts}})


def _check(out: Path, pieces: list[Piece], vocab_size: int) -> dict[str, Any]:
    """See what could not be seen in each shard alone; which contract the streams and their index keep.

    Raises:
        StepError: they break it.
    """
    given = contracts()
    held_out = pieces[-1]
    merged = {"index": index_part(out, held_out), "pieces": piece_row(held_out, vocab_size)}
    broken = check_piece({name: given[name] for name in merged}, merged)
    checked = check(
        {name: each.of_the_whole() for name, each in given.items()},
        whole_tables(out, pieces, vocab_size, given["index"]),
    )
    _require_none([*broken, *checked.broken])
    rules = sum(contract.rules for contract in given.values())
    return {"vocab_size": vocab_size, "contract": checked.contract, "rules": rules}


def _require_none(broken: Sequence[Broken]) -> None:
    if broken:
        lines = (
            f"{each.table}: rule {each.rule}: expected {each.expected}, found {each.found} "
            f"{', '.join(each.examples)}".rstrip()
            for each in broken[:_SHOWN]
        )
        raise StepError(
            f"what was packed breaks the contract {title_of(contracts().values())}: {'; '.join(lines)}; if sources "
            f"have such documents, mend them; a limit that is wrong is mended in {PACKED.name}"
        )


def _sample(source: Path, shards: list[Shard]) -> Iterator[str]:
    """A few documents of the run, which both tokenizer libraries must agree on."""
    for shard in shards[:: max(1, len(shards) // 4)]:
        yield from documents.read_shard(source, shard.name, ["text"])["text"].head(_SAMPLE // 4)


def _pieces(source: Path, shards: list[Shard], common: Common, settings: Settings, out: Path) -> list[dict[str, Any]]:
    """Write what becomes of each shard, remembered or made, and count it.

    Raises:
        StepError: no document is held out, or a piece breaks the contract.
    """
    memory = Memory(settings.cache / "shards" / "pack")
    # Not whether it is fast: the ids are the same.
    same = (hashlib.sha256(common.tokenizer).hexdigest(), common.seed)
    found: dict[str, dict[str, Any]] = {}
    keys, jobs = {}, []
    kept_back, number = chosen(settings), 0
    for shard in shards:
        frame = documents.read_shard(source, shard.name, ["id", "source"])
        mine = tuple(frame.join(kept_back, on="id", how="semi")["id"].sort())
        number += len(mine)
        weights = {name: common.weights.get(name, 1.0) for name in sorted(frame["source"].unique())}
        keys[shard.name] = key_of("pack", same, weights, "".join(mine).encode(), shard.name, shard.sha256)
        noted = memory.recall(keys[shard.name], out)
        if noted is None:
            jobs.append((shard, common._replace(weights=weights), mine))
        else:
            found[shard.name] = noted
    require_held_out(settings, number, sum(shard.rows for shard in shards))
    progress = settings.runs / "progress" / "pack.json"
    broken: list[Broken] = []
    with engine(settings) as where, Progress("pack", total=len(jobs), unit="shards", file=progress) as shown:
        given = (
            Job(each, shard.name, where.carried(source / documents.part(shard.name)), mine)
            for shard, each, mine in jobs
        )
        made = shown.over(where.map(pack_shard, given))
        for (shard, _, _), packed in zip(jobs, made, strict=True):
            broken += (rule._replace(table=f"{shard.name}: {rule.table}") for rule in packed.broken)
            if not packed.broken:
                memory.keep(keys[shard.name], packed.files, packed.counts, out)
            found[shard.name] = packed.counts
    _require_none(broken)
    return [found[shard.name] for shard in shards]


def _hold_out(out: Path, names: list[str], counts: list[dict[str, Any]], dtype: np.dtype[Any]) -> Piece:
    """Write the stream of held-out documents, their index and their texts."""
    index_path, tokens_path = out / index_file(HELD_OUT, HELD_OUT), out / tokens_file(HELD_OUT, HELD_OUT)
    held = [out / held_out_file(name) for name, count in zip(names, counts, strict=True) if count["held_out"]]
    offset, constants = 0, {"split": pl.lit(HELD_OUT), "epoch": pl.lit(0, pl.Int32)}
    with (
        Flat(tokens_path, dtype, _sum(counts, "held_out_tokens")) as stream,
        Table(index_path, INDEX_SCHEMA) as index,
        Table(out / TEXTS, _HELD_OUT_SCHEMA) as texts,
    ):
        for rows in sorted_by_id(held, _sum(counts, "held_out_bytes"), _AT_ONCE):
            stream.write(rows["tokens"].explode().to_numpy().astype(dtype, copy=False))
            texts.write(rows)
            lengths = rows["tokens"].list.len().cast(pl.Int64)
            index.write(rows.with_columns(**constants, offset=offset + lengths.cum_sum() - lengths, tokens=lengths))
            offset += int(lengths.sum())
            del rows  # before the next ones are read
    places = pl.read_parquet(index_path, columns=["offset", "tokens"], glob=False)
    return Piece.measured(HELD_OUT, HELD_OUT, lambda: np.load(tokens_path, mmap_mode="r"), places)


def _groups(out: Path, pieces: list[Piece]) -> dict[str, int]:
    """How many groups each split has."""
    groups: dict[str, list[NDArray[np.uint64]]] = {TRAIN: [], HELD_OUT: []}
    for piece in pieces:
        groups[piece.split].append(index_part(out, piece, ["group"])["group"].hash().unique().to_numpy())
    return {split: pl.Series(np.concatenate(found)).n_unique() for split, found in groups.items()}


def _sum(counts: list[dict[str, Any]], key: str) -> int:
    return sum(count[key] for count in counts)


def _report(counts: list[dict[str, Any]], groups: dict[str, int], weights: dict[str, float], dtype: str) -> Report:
    sources: dict[str, dict[str, Any]] = {}
    for count in counts:
        for name, numbers in count["sources"].items():
            mine = sources.setdefault(name, dict.fromkeys(numbers, 0))
            for key, number in numbers.items():
                mine[key] += number
    trained, held = sum(count["train"]["tokens"] for count in counts), _sum(counts, "held_out_tokens")
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
