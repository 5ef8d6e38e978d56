"""Any tables become the list of rules that they break, with counts and examples; parts are read one at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import polars as pl

from data_contracts.contract import ROW_COUNT, Contract, RowRule
from data_contracts.errors import ContractError
from data_contracts.uniqueness import hashed, joined, repeats

EXAMPLES = 3
_SHOWN = 60
_WIDER = {
    pl.Int64(): (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64),
    pl.Float64(): (pl.Float32, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64),
    pl.String(): (pl.Categorical, pl.Enum),
}


class Source(NamedTuple):
    """A table to be checked: its parts, as often as they are asked for, and all of it, read when it is needed."""

    parts: Callable[[], Iterable[pl.DataFrame]]
    lazy: Callable[[], pl.LazyFrame]

    @classmethod
    def of(cls, table: pl.DataFrame) -> Self:
        """A table in memory."""
        return cls(lambda: [table], table.lazy)


Pieces = Mapping[str, pl.LazyFrame]  # tables by name, or a piece of each


class Broken(NamedTuple):
    """A rule that a table breaks: what was expected, how many rows or what was found, values that show it."""

    table: str
    rule: str
    expected: str
    found: str
    examples: tuple[str, ...] = ()


class Checked(NamedTuple):
    """What came of a check: rules that were run, rows by table, broken rules."""

    contract: str
    rules: int
    rows: dict[str, int]
    broken: tuple[Broken, ...]


@dataclass
class _Count:
    rows: int = 0
    examples: list[str] = field(default_factory=list)


def check_piece(contracts: Mapping[str, Contract], tables: Mapping[str, pl.DataFrame]) -> tuple[Broken, ...]:
    """Which rules one piece of the tables breaks, of those that can be said of a piece alone."""
    alone = {name: contract.of_a_piece() for name, contract in contracts.items()}
    return check(alone, {name: Source.of(table) for name, table in tables.items()}).broken


def check(
    contracts: Mapping[str, Contract],
    sources: Mapping[str, Source],
    pieces: Callable[[], Iterable[Pieces]] | None = None,
) -> Checked:
    """Compare tables with the contracts of one file.

    Args:
        contracts: by table.
        sources: the tables, by the same names.
        pieces: the tables in pieces, for the queries that are on each alone; by default they are one piece.

    Raises:
        ContractError: a table is missing, or a query cannot be run.
    """

    def whole() -> Iterator[Pieces]:
        yield {name: sources[name].lazy() for name in contracts}

    missing = [name for name in contracts if name not in sources]
    if missing:
        raise ContractError(f"expected the tables {', '.join(contracts)}, found no {', '.join(missing)}")
    rows: dict[str, int] = {}
    broken: list[Broken] = []
    for name, contract in contracts.items():
        rows[name], found = _check_table(contract, sources[name])
        broken += found
    wrong = {each.table for each in broken if each.rule.endswith(".type")}
    if not wrong:
        for alone, tables in ((True, pieces or whole), (False, whole)):
            broken += _queries(contracts, tables, alone=alone)
    rules = sum(contract.rules for contract in contracts.values())
    return Checked(title_of(contracts.values()), rows=rows, rules=rules, broken=tuple(broken))


def title_of(contracts: Iterable[Contract]) -> str:
    """Of the file that contracts on tables are in: `packed.index 1.0.0` is of `packed 1.0.0`."""
    parts = (contract.title.partition(" ") for contract in contracts)
    return ", ".join(dict.fromkeys(f"{name.partition('.')[0]} {version}" for name, _, version in parts))


def _check_table(contract: Contract, source: Source) -> tuple[int, list[Broken]]:
    """Rows of a table, and broken rules of rows and of columns."""
    counts = {rule.name: _Count() for rule in contract.row_rules}
    types: dict[str, str] = {}
    alone = [rule for rule in contract.row_rules if rule.check != "unique"]
    unique = {rule.name: rule.columns for rule in contract.key_rules} | contract.unique
    hashes, rows = [], 0
    for part in source.parts():
        frame = _seen(part, contract, types)
        broken = frame.select(rule.broken() for rule in alone)
        for rule in alone:
            _note(counts[rule.name], frame, rule, broken[rule.name])
        hashes += [hashed(frame, unique)] if unique else []
        rows += part.height

    def seen() -> Iterator[pl.DataFrame]:
        return (_seen(part, contract, {}) for part in source.parts())

    again = repeats(seen, unique, joined(hashes, unique))
    for rule in contract.row_rules:
        if rule.check == "unique" and again[rule.name].any():
            at = 0
            for frame in seen():
                _note(counts[rule.name], frame, rule, again[rule.name].slice(at, frame.height))
                at += frame.height
    found = [Broken(contract.name, f"{column}.type", str(contract.columns[column]), kind)
             for column, kind in types.items()]  # fmt: skip
    found += [
        Broken(contract.name, rule.name, _expected(rule), f"{counts[rule.name].rows:,} rows",
               tuple(counts[rule.name].examples))
        for rule in contract.row_rules
        if rule.column not in types and counts[rule.name].rows
    ]  # fmt: skip
    found += [
        Broken(contract.name, rule.name, f"each {', '.join(rule.columns)} once", f"{number:,} rows")
        for rule in contract.key_rules
        if not types.keys() & set(rule.columns) and (number := int(again[rule.name].sum()))
    ]
    return rows, found + list(_table_rules(contract, source, rows, types))


def _seen(part: pl.DataFrame, contract: Contract, types: dict[str, str]) -> pl.DataFrame:
    """The contract's columns of a part, narrow types made wide; one that is missing or of another type is noted."""
    columns = []
    for name, kind in contract.columns.items():
        found = part.schema.get(name)
        if found == kind or isinstance(found, pl.Null) or (found is not None and found in _WIDER.get(kind, ())):
            columns.append(pl.col(name).cast(kind))
        else:
            types.setdefault(name, "no such column" if found is None else str(found))
            columns.append(pl.lit(None, dtype=kind).alias(name))
    return part.with_columns(columns).select(list(contract.columns))


def _note(count: _Count, frame: pl.DataFrame, rule: RowRule, broken: pl.Series) -> None:
    number = int(broken.sum())
    count.rows += number
    if number and len(count.examples) < EXAMPLES:
        values = frame[rule.column].filter(broken).head(EXAMPLES - len(count.examples))
        count.examples += [shown(value) for value in values]


def shown(value: Any) -> str:
    """A value, long ones cut."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _expected(rule: RowRule) -> str:
    return rule.check if rule.value is True else f"{rule.check} {rule.value}"


def _table_rules(contract: Contract, source: Source, rows: int, types: Mapping[str, str]) -> Iterator[Broken]:
    """Row counts here; what only Great Expectations knows, there, unless the column itself is wrong."""
    others = []
    for rule in contract.table_rules:
        if rule.expectation != ROW_COUNT:
            others += [rule] if rule.arguments.get("column") not in types else []
            continue
        low, high = rule.arguments.get("min_value", 0), rule.arguments.get("max_value", float("inf"))
        if not low <= rows <= high:
            yield Broken(contract.name, rule.name, f"from {low:,} to {high:,} rows", f"{rows:,} rows")
    if others:
        from data_contracts.expectations import run_table_rules

        columns = [column for rule in others if (column := rule.arguments.get("column")) is not None]
        frame = pl.concat([part.select(columns) for part in source.parts()]) if rows else pl.DataFrame()
        for failure in run_table_rules(contract, others, frame) if rows else ():
            yield Broken(contract.name, failure.rule, failure.expected, failure.found, failure.examples)


def _queries(
    contracts: Mapping[str, Contract], pieces: Callable[[], Iterable[Pieces]], *, alone: bool
) -> Iterator[Broken]:
    """Queries on the tables in pieces, the numbers of all pieces added up."""
    rules = [(name, rule) for name, each in contracts.items() for rule in each.query_rules if rule.alone == alone]
    if not rules:
        return
    found = dict.fromkeys(rules, 0)
    for tables in pieces():
        with pl.SQLContext(tables) as context:
            for name, rule in rules:
                try:
                    found[name, rule] += context.execute(rule.query).collect(engine="streaming").item()
                except pl.exceptions.PolarsError as error:
                    raise ContractError(f"{name}: rule {rule.name} cannot be run: {error}: {rule.query}") from None
    for (name, rule), number in found.items():
        if number != rule.must_be:
            yield Broken(name, rule.name, f"{rule.must_be:g}: {rule.query}", f"{number:,}")
