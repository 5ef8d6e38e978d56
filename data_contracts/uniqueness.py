"""Values of a table that came before become marks on rows; memory holds eight bytes a value, and never a wrong mark.

Hashes of all values are compared first. Where two are the same, and only there, the values themselves are.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import polars as pl

Parts = Callable[[], Iterable[pl.DataFrame]]


def repeats(parts: Parts, rules: Mapping[str, str]) -> pl.DataFrame:
    """A boolean column for each rule: rows whose value came in a row before; a missing value comes never.

    Args:
        parts: gives the parts of a table in their order; called a second time if hashes are the same.
        rules: name of a rule -> its column.
    """
    hashes = _hashes(parts(), dict.fromkeys(rules.values()))
    suspects = {column: _twice(hashes[column]) for column in hashes.columns}
    found: dict[str, pl.Series] = {}
    for column, twice in suspects.items():
        marks = np.zeros(hashes.height, np.bool_)
        if len(twice):
            rows = hashes[column].is_in(twice.implode()).fill_null(value=False)
            marks[_again(parts(), column, rows)] = True
        found[column] = pl.Series(marks)
    return pl.DataFrame({name: found[column] for name, column in rules.items()})


def _hashes(parts: Iterable[pl.DataFrame], columns: Iterable[str]) -> pl.DataFrame:
    hashed = [pl.when(pl.col(column).is_not_null()).then(pl.col(column).hash()).alias(column) for column in columns]
    empty = pl.DataFrame(schema={column: pl.UInt64() for column in columns})
    return pl.concat([empty, *(part.select(hashed) for part in parts)]) if hashed else empty


def _twice(hashes: pl.Series) -> pl.Series:
    """Hashes that come more than once."""
    in_order = hashes.drop_nulls().sort()
    return in_order.filter(in_order == in_order.shift(1)).unique()


def _again(parts: Iterable[pl.DataFrame], column: str, rows: pl.Series) -> list[int]:
    """Numbers of those of the rows whose value came in a row before."""
    start, kept = 0, []
    for part in parts:
        mine = rows.slice(start, part.height)
        values = pl.DataFrame({"row": pl.int_range(start, start + part.height, eager=True), "value": part[column]})
        kept.append(values.filter(mine))
        start += part.height
    values = pl.concat(kept)
    return values.filter(~pl.col("value").is_first_distinct())["row"].to_list()
