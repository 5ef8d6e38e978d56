"""Pairs of documents that are nearly the same -> which one stands for which, by a rule that no order changes.

First comes what the base was trained on (it cannot be held out), then what is held out, then the longer text, then the
smaller hash of the id; of those that are the same, the smaller uri. In that order a document is kept unless a kept one
stands for it. So each document that is removed is as similar to the one it names as was asked for: chains of versions
do not collapse into one, and no document that is kept for training is a near copy of one that is held out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tasks.big_data.grams import chosen_keepers, grouped
from tasks.big_data.near import Pairs, Places, sorted_keys
from tasks.big_data.sketches import KEY, KEY_END, SCORE, WORDS, Sketches

TRAINED, HELD_OUT, OTHER = 0, 1, 2
_WORD_BITS, _SCORE_BITS = 22, 40
_LARGEST = 10


@dataclass(frozen=True)
class Stand:
    """Documents that are removed, by their places, and the kept one that stands for each."""

    removed: Places
    keeper: Places
    exact: NDArray[np.bool_]

    @property
    def keepers(self) -> Places:
        """Those that stand for others, each once."""
        return np.unique(self.keeper)


def merits(sketches: Sketches, sides: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """One number for each document, the smaller the better: side, length, and a hash of the id to part the equal."""
    words = np.minimum(sketches.column(WORDS), 2**_WORD_BITS - 1)
    merit = sides.astype(np.uint64) << np.uint64(_WORD_BITS + _SCORE_BITS)
    merit |= (np.uint64(2**_WORD_BITS - 1) - words) << np.uint64(_SCORE_BITS)
    merit |= sketches.column(SCORE) >> np.uint64(64 - _SCORE_BITS)
    return merit


def exact_pairs(sketches: Sketches, compared: NDArray[np.bool_]) -> Pairs:
    """For each group of documents with the same key: all others with the first of them in the table."""
    keys, bits = sorted_keys(sketches.column(KEY), compared)
    same = np.zeros(len(keys) + 1, np.bool_)
    same[1:-1] = keys[1:] >> np.uint64(bits) == keys[:-1] >> np.uint64(bits)
    mask = np.uint64((1 << bits) - 1)
    places = np.sort((keys[same[1:] | same[:-1]] & mask).astype(np.int64))
    table = pl.DataFrame({"place": places, "key": sketches.at(KEY, places), "end": sketches.at(KEY_END, places)})
    joined = table.with_columns(first=pl.col("place").first().over("key", "end")).filter(
        pl.col("first") < pl.col("place")
    )
    return Pairs(joined["first"].to_numpy(), joined["place"].to_numpy(), np.ones(joined.height))


def exact_stand(pairs: Pairs, ranked: pl.DataFrame) -> Stand:
    """The best of each group of the same; length does not count, as white space would.

    Args:
        pairs: as `exact_pairs` gives them.
        ranked: `rank` of the documents in them.
    """
    members = pl.DataFrame({"first": pairs.first, "place": pairs.second})
    heads = np.unique(pairs.first)
    groups = (
        pl.concat([pl.DataFrame({"first": heads, "place": heads}), members])
        .join(ranked, on="place")
        .sort("side", "uri")
    )
    best = groups.with_columns(keeper=pl.col("place").first().over("first")).filter(pl.col("place") != pl.col("keeper"))
    best = best.sort("place")
    return Stand(best["place"].to_numpy(), best["keeper"].to_numpy(), np.ones(best.height, np.bool_))


def near_stand(pairs: Pairs, merit: NDArray[np.uint64]) -> Stand:
    """What is removed for a better one of its pairs."""
    places = np.unique(np.concatenate([pairs.first, pairs.second]))
    # The same order as where pairs of long runs are proposed, else the best of a run could go and leave the others.
    order = np.argsort(merit[places], kind="stable")
    one, other = np.searchsorted(places, pairs.first), np.searchsorted(places, pairs.second)
    starts_at, neighbours = np.concatenate([one, other]), np.concatenate([other, one])
    by_first = np.argsort(starts_at, kind="stable")
    starts = np.searchsorted(starts_at[by_first], np.arange(len(places) + 1))
    keeper = chosen_keepers(order, starts, neighbours[by_first])
    gone = np.flatnonzero(keeper >= 0)
    return Stand(places[gone], places[keeper[gone]], np.zeros(len(gone), np.bool_))


def together(exact: Stand, near: Stand) -> Stand:
    """Both, sorted; what was the same as a document that is nearly another stands for that other, which is as near."""
    keeper = exact.keeper.copy()
    if len(near.removed):
        at = np.minimum(np.searchsorted(near.removed, keeper), len(near.removed) - 1)
        moved = near.removed[at] == keeper
    else:
        at, moved = np.zeros(len(keeper), np.int64), np.zeros(len(keeper), np.bool_)
    keeper[moved] = near.keeper[at[moved]]
    removed = np.concatenate([exact.removed, near.removed])
    order = np.argsort(removed)
    return Stand(
        removed[order],
        np.concatenate([keeper, near.keeper])[order],
        np.concatenate([~moved, near.exact])[order],
    )


def rank(places: Places, sketches: Sketches, sides: NDArray[np.uint8]) -> pl.DataFrame:
    """Columns place, side, uri of some documents."""
    uris = pl.Series(sketches.uris(places), dtype=pl.String)
    return pl.DataFrame({"place": places, "side": sides[places], "uri": uris})


def group_facts(exact: Pairs, near: Pairs, stand: Stand, sketches: Sketches) -> dict[str, Any]:
    """What the page shows of groups: how many, how large, the largest with their least and greatest similarity."""
    first, second = (np.concatenate([getattr(exact, side), getattr(near, side)]) for side in ("first", "second"))
    places = np.unique(np.concatenate([first, second]))
    root = grouped(len(places), np.searchsorted(places, first), np.searchsorted(places, second))
    members = pl.DataFrame({"place": places, "root": places[root]})
    pairs = pl.DataFrame({"place": first, "jaccard": np.concatenate([exact.jaccard, near.jaccard])})
    ranges = pairs.join(members, on="place").group_by("root").agg(
        least=pl.col("jaccard").min(), most=pl.col("jaccard").max()
    )  # fmt: skip
    removed = pl.DataFrame({"place": stand.removed}).with_columns(gone=True)
    groups = (
        members.join(removed, on="place", how="left")
        .group_by("root")
        .agg(
            documents=pl.len(),
            copies=pl.col("gone").count(),
            keeper=pl.col("place").filter(pl.col("gone").is_null()).min(),
        )
        .join(ranges, on="root")
    )
    sizes = groups.group_by("documents").len().sort("documents")
    largest = groups.sort(["copies", "keeper"], descending=[True, False]).head(_LARGEST)
    heads = np.sort(largest["keeper"].to_numpy())
    uris = dict(zip(heads.tolist(), sketches.uris(heads), strict=True))
    return {
        "exact_groups": len(np.unique(exact.first)),
        "near_groups": len(np.unique(_roots(near))),
        "group_sizes": {str(size): count for size, count in sizes.iter_rows()},
        "largest_groups": [
            {"keeper": uris[keeper], "copies": copies, "jaccard": [round(least, 4), round(most, 4)]}
            for keeper, copies, least, most in largest.select("keeper", "copies", "least", "most").iter_rows()
        ],
    }


def _roots(pairs: Pairs) -> Places:
    places = np.unique(np.concatenate([pairs.first, pairs.second]))
    root = grouped(len(places), np.searchsorted(places, pairs.first), np.searchsorted(places, pairs.second))
    return np.unique(root)
