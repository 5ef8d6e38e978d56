"""Values of a table that came before become marks on rows; memory holds eight bytes a value, and never a wrong mark.

Hashes of all values are compared first. Where two are the same, and only there, the values themselves are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import polars as pl

Parts = Callable[[], Iterable[pl.DataFrame]]
Rules = Mapping[str, Sequence[str]]


def repeats(parts: Parts, rules: Rules, hashes: pl.DataFrame | None = None) -> pl.DataFrame:
    """A boolean column for each rule: rows whose values came in a row before; a missing value comes never.

    Args:
        parts: gives the parts of a table in their order; called again if hashes are the same.
        rules: name of a rule -> columns whose values together must not come twice.
        hashes: of all parts, where they have been read already.
    """
    if hashes is None:
        hashes = joined((hashed(part, rules) for part in parts() if rules), rules)
    found: dict[str, pl.Series] = {}
    for name, columns in rules.items():
        marks = np.zeros(hashes.height, np.bool_)
        if len(twice := _twice(hashes[name])):
            rows = hashes[name].is_in(twice.implode()).fill_null(value=False)
            marks[_again(parts(), columns, rows)] = True
        found[name] = pl.Series(marks)
    return pl.DataFrame(found)


def _values(columns: Sequence[str]) -> pl.Expr:
    return pl.col(columns[0]) if len(columns) == 1 else pl.struct(columns)


def hashed(part: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """A column of hashes for each rule."""
    return part.select(
        pl.when(pl.all_horizontal(pl.col(columns).is_not_null())).then(_values(columns).hash()).alias(name)
        for name, columns in rules.items()
    )


def joined(hashes: Iterable[pl.DataFrame], rules: Rules) -> pl.DataFrame:
    """Hashes of all parts."""
    return pl.concat([pl.DataFrame(schema=dict.fromkeys(rules, pl.UInt64())), *hashes])


def _twice(hashes: pl.Series) -> pl.Series:
    """Hashes that come more than once."""
    in_order = hashes.drop_nulls().sort()
    return in_order.filter(in_order == in_order.shift(1)).unique()


def _again(parts: Iterable[pl.DataFrame], columns: Sequence[str], rows: pl.Series) -> list[int]:
    """Numbers of those of the rows whose values came in a row before."""
    start, kept = 0, []
    for part in parts:
        values = part.select(row=pl.int_range(start, start + part.height), value=_values(columns))
        kept.append(values.filter(rows.slice(start, part.height)))
        start += part.height
    values = pl.concat(kept)
    return values.filter(~pl.col("value").is_first_distinct())["row"].to_list()
