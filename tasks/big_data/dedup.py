"""Documents become different documents, on one of two sides: those to train on and those held out to judge by.

The same text and nearly the same text stay once, long blocks that several documents have stay in one, and what an
evaluation has is not trained on. Which document is held out is decided here, for all steps that follow.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.settings import Settings
from tasks.big_data import keepers
from tasks.big_data.decontaminate import CONTAMINATED_FILE, LISTED, contaminated
from tasks.big_data.documents import REJECTED_SCHEMA, Sifted, read_index, sifted, with_texts, write_table
from tasks.big_data.engine import Engine, engine
from tasks.big_data.keepers import HELD_OUT, OTHER, TRAINED, Stand
from tasks.big_data.memory import Memory
from tasks.big_data.near import candidates, remembered_in, verified
from tasks.big_data.paragraphs import repeated, without_blocks
from tasks.big_data.scans import columns_of
from tasks.big_data.sides import SIDES_FILE, write_sides
from tasks.big_data.sift import sift
from tasks.big_data.sketches import DIGEST, ID, SCORE, Sketches, Without, make_sketches
from tasks.big_data.split import choose, trained_before
from tasks.fingerprints import Fingerprints
from tasks.params import Dedup, Pack, Params
from tasks.report import Report

DUPLICATE_OF, NEAR_DUPLICATE_OF = "duplicate_of", "near_duplicate_of"
NEAR_COPY_OF_HELD_OUT = "near_copy_of_held_out"
ONLY_REPEATED_BLOCKS = "only_repeated_blocks"
CONTAMINATED = "contaminated"


class Against(NamedTuple):
    """What is against the documents of one shard."""

    reasons: bytes  # JSON: rows and the reason against each; one value, whose digest is quickly made
    lost: NDArray[np.uint64]  # row and key of each block that stays elsewhere


class Found(NamedTuple):
    """What a comparison of all documents found."""

    sides: NDArray[np.uint8]
    contaminated: pl.DataFrame
    stand: Stand
    lost: dict[int, NDArray[np.uint64]]
    facts: dict[str, Any]


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write one document of each group of copies; the others are rejected and name it. Write the side of each."""
    source = settings.artifacts / "privacy"
    shards = read_index(source)
    with engine(settings) as where, _scratch(settings.cache) as folder:
        memory, without = Memory(settings.cache / "shards" / "sketches"), _left_out(settings.artifacts, params.dedup)
        sketches = make_sketches(source, shards, params.dedup, without, memory, where, folder)
        found = compare(params, settings, sketches, source, where, folder)
        extras = _extras(found, sketches)
        tally = sift("dedup", source, out, work, params.dedup.min_block_bytes, settings, where, extras=extras)
        counts = write_sides(out / SIDES_FILE, _sides(found.sides, sketches, out))
    write_table(out / CONTAMINATED_FILE, found.contaminated.select(list(LISTED)))
    return tally.report("dedup", {**found.facts, **tally.facts, "sides": counts})


def compare(params: Params, settings: Settings, sketches: Sketches, source: Path, where: Engine, folder: Path) -> Found:
    """Sides, copies and repeated blocks of all documents."""
    discover, memory = settings.artifacts / "discover", Memory(settings.cache / "shards" / "evaluation")
    sides = sides_of(sketches, params.pack, trained_before(discover))
    hits = contaminated(discover, source, sketches.shards, memory, where, folder / "evaluation")
    compared = np.ones(len(sketches), np.bool_)
    compared[sketches.starts[hits["shard"].to_numpy()] + hits["row"].to_numpy()] = False
    merit = keepers.merits(sketches, sides)
    same = keepers.exact_pairs(sketches, compared)
    members = np.unique(np.concatenate([same.first, same.second]))
    exact = keepers.exact_stand(same, keepers.rank(members, sketches, sides))
    compared[exact.removed] = False
    pairs = verified(
        *candidates(sketches, compared, merit, where), sketches, source, where, folder, remembered_in(settings.cache)
    ).at_least(params.dedup.min_jaccard)
    near = keepers.near_stand(pairs, merit)
    compared[near.removed] = False
    stand = keepers.together(exact, near)
    lost = repeated(sketches, compared, merit)
    facts = keepers.group_facts(same, pairs, stand, sketches)
    by_file = hits.group_by("file").len().sort("file")
    return Found(sides, hits, stand, lost, {**facts, "contaminated": dict(by_file.iter_rows())})


def sides_of(sketches: Sketches, pack: Pack, trained: Fingerprints | None) -> NDArray[np.uint8]:
    """What each document is: one that the base was trained on, one held out, or another."""
    unseen = np.ones(len(sketches), np.bool_)
    if trained is not None:
        unseen = ~(np.isin(sketches.column(ID), trained) | np.isin(sketches.column(DIGEST), trained))
    held_out = choose(sketches.column(SCORE), pack, unseen)
    return np.where(held_out, HELD_OUT, np.where(unseen, OTHER, TRAINED)).astype(np.uint8)


def work(frame: pl.DataFrame, min_block_bytes: int, against: Against | None) -> Sifted:
    """Part a shard: a copy is rejected and names what stands for it; blocks that stay elsewhere are cut out."""
    if against is None:
        return Sifted(frame, REJECTED_SCHEMA.to_frame(), {})
    reasons: dict[int, tuple[str, ...]] = {row: (reason,) for row, reason in json.loads(against.reasons)}
    shorter = without_blocks(frame, against.lost)
    gone = [row for row, cut in shorter.items() if len(cut.text.strip().encode()) < min_block_bytes]
    reasons |= dict.fromkeys(gone, (ONLY_REPEATED_BLOCKS,))
    cuts = {row: cut for row, cut in shorter.items() if row not in reasons}
    counts = {
        "documents": len(cuts),
        "blocks": sum(cut.blocks for cut in cuts.values()),
        "bytes": sum(cut.bytes for cut in cuts.values()),
    }
    texts = with_texts(frame, {row: cut.text for row, cut in cuts.items()})
    return sifted(texts, reasons, {"repeated_blocks": counts})


def _extras(found: Found, sketches: Sketches) -> dict[str, Against]:
    """By name of a shard, what is against its documents."""
    stand = found.stand
    ids = sketches.ids(stand.keepers)
    named = np.searchsorted(stand.keepers, stand.keeper)
    words = [
        f"{_word(gone, by, exact=exact)}:{ids[at]}"
        for gone, by, exact, at in zip(
            found.sides[stand.removed].tolist(), found.sides[stand.keeper].tolist(), stand.exact.tolist(),
            named.tolist(), strict=True,
        )
    ]  # fmt: skip
    reasons: dict[int, list[tuple[int, str]]] = {}
    for number, mine in sketches.by_shard(stand.removed):
        rows = (stand.removed[mine] - sketches.starts[number]).tolist()
        reasons[number] = list(zip(rows, words[mine], strict=True))
    first = found.contaminated.unique(["shard", "row"], keep="first", maintain_order=True)
    for number, row, file in first.select("shard", "row", "file").iter_rows():
        reasons.setdefault(number, []).append((row, f"{CONTAMINATED}:{file}"))
    none = np.zeros((0, 2), np.uint64)
    return {
        sketches.shards[number].name: Against(
            json.dumps(reasons.get(number, [])).encode(), found.lost.get(number, none)
        )
        for number in sorted({*reasons, *found.lost})
    }


def _left_out(artifacts: Path, dedup: Dedup) -> Without:
    """Sources of other kinds of text than those where near copies and repeated blocks go."""
    kinds = kinds_of(artifacts / "clean")
    near, blocks = (
        tuple(source for source, kind in sorted(kinds.items()) if kind not in wanted)
        for wanted in (dedup.near_kinds, dedup.block_kinds)
    )
    return Without(near, blocks)


def kinds_of(clean: Path) -> dict[str, str]:
    """Kind of text of each source, as `clean` found it; none where it left no word."""
    try:
        presets: dict[str, str] = Report.read(clean).facts.get("presets", {})
    except FileNotFoundError:
        return {}
    return {source: said.partition(":")[0] for source, said in presets.items()}


def _word(side: int, keeper_side: int, *, exact: bool) -> str:
    if keeper_side == HELD_OUT and side != HELD_OUT:
        return NEAR_COPY_OF_HELD_OUT
    return DUPLICATE_OF if exact else NEAR_DUPLICATE_OF


def _sides(sides: NDArray[np.uint8], sketches: Sketches, out: Path) -> Iterator[tuple[pl.Series, NDArray[np.bool_]]]:
    """Ids of the documents that were kept, shard by shard, and whether each is held out."""
    gone = (
        ids["id"]
        for many in columns_of(out, ["id"], rejected=True)
        for _, ids in many.group_by("shard", maintain_order=True)
    )
    for number, shard in enumerate(read_index(out)):
        held_out = sides[sketches.starts[number] : sketches.starts[number + 1]] == HELD_OUT
        ids = sketches.ids_of(number)
        if shard.rejected:
            kept = ~ids.is_in(next(gone).implode())
            ids, held_out = ids.filter(kept), held_out[kept.to_numpy()]
        yield ids, held_out


@contextmanager
def _scratch(cache: Path) -> Iterator[Path]:
    """A folder for the length of the block, where files of the cache can be linked to."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="dedup-") as name:
        yield Path(name)
