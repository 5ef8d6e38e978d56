"""Documents become different documents: of those that are the same, the one with the smallest uri stays.

Keys of all documents are compared first, then the shards are parted; a near-duplicate rule is another function from
keys to keepers.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.documents import Sifted, sifted
from tasks.big_data.sift import sift
from tasks.params import Dedup, Params
from tasks.report import Report

DUPLICATE_OF = "duplicate_of"


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write one document of each group of duplicates; the others are rejected and name it."""
    source = settings.artifacts / "privacy"
    keepers = exact_keepers(keys_of(source, params.dedup))
    extras = {
        shard.name: tuple(
            documents.read_shard(source, shard.name, ["id"]).join(keepers, on="id").sort("id").iter_rows()
        )
        for shard in documents.read_index(source)
    }
    tally = sift("dedup", source, out, work, None, settings, extras=extras)
    groups = keepers.group_by("keeper").len("copies")
    largest = groups.join(documents.read(out, ["id", "uri"]), left_on="keeper", right_on="id")
    return tally.report("dedup", {"exact_groups": groups.height, "largest_groups": _largest(largest)})


def keys_of(folder: Path, dedup: Dedup) -> pl.DataFrame:
    """Columns id, uri, key: documents with the same key are the same."""
    rows: list[tuple[str, str, bytes]] = []
    for shard in documents.read_index(folder):
        frame = documents.read_shard(folder, shard.name, ["id", "uri", "text"])
        rows.extend((id_, uri, key(text, dedup)) for id_, uri, text in frame.iter_rows())
    return pl.DataFrame(rows, schema={"id": pl.String, "uri": pl.String, "key": pl.Binary}, orient="row")


def key(text: str, dedup: Dedup) -> bytes:
    """128 bits that documents share only if they are the same."""
    same = " ".join(text.split()).casefold() if dedup.ignore_whitespace else text
    return hashlib.sha256(same.encode()).digest()[:16]


def exact_keepers(keys: pl.DataFrame) -> pl.DataFrame:
    """Columns id, keeper: every document that another one with the same key and a smaller uri stands for."""
    first = keys.sort("uri").group_by("key").agg(pl.col("id").first().alias("keeper"))
    return keys.join(first, on="key").filter(pl.col("id") != pl.col("keeper")).select("id", "keeper").sort("id")


def work(frame: pl.DataFrame, _common: None, keepers: Sequence[tuple[str, str]] | None) -> Sifted:
    """Part a shard: a document that has a keeper is rejected and names it."""
    keeper = dict(keepers or ())
    against = {row: (f"{DUPLICATE_OF}:{keeper[id_]}",) for row, id_ in enumerate(frame["id"]) if id_ in keeper}
    return sifted(frame, against, {})


def _largest(groups: pl.DataFrame, number: int = 5) -> dict[str, int]:
    """Uri of the keeper and number of copies of the largest groups."""
    return dict(
        groups.sort(["copies", "uri"], descending=[True, False]).head(number).select("uri", "copies").iter_rows()
    )
