"""A contract becomes rules: of rows, run vectorised so that each rejected row has all it broke, and of tables.

What a contract says and this module does not run is refused, never passed over.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import polars as pl
from open_data_contract_standard.model import DataQuality, OpenDataContractStandard, SchemaObject, SchemaProperty

from data_contracts.errors import ContractError
from data_contracts.odcs import read_odcs
from data_contracts.uniqueness import repeats

ENDING = ".odcs.yaml"
ROOM = Path(__file__).parent
DOCUMENTS, RAW, PACKED = (ROOM / f"{name}{ENDING}" for name in ("documents", "raw", "packed"))
GREAT_EXPECTATIONS = "great-expectations"
ROW_COUNT = "expect_table_row_count_to_be_between"
_TYPES: Mapping[str, pl.DataType] = {
    "string": pl.String(), "integer": pl.Int64(), "number": pl.Float64(), "boolean": pl.Boolean(),
}  # fmt: skip
# Check -> rows of a column that break it, given the value in the contract.
_BROKEN: Mapping[str, Callable[[pl.Expr, Any], pl.Expr]] = {
    "required": lambda column, _: column.is_null(),
    "minLength": lambda column, value: column.str.len_chars() < value,
    "maxLength": lambda column, value: column.str.len_chars() > value,
    "pattern": lambda column, value: ~column.str.contains(value),
    "minimum": lambda column, value: column < value,
    "maximum": lambda column, value: column > value,
    "validValues": lambda column, value: ~column.is_in(value),
}
# What `logicalTypeOptions` may say, by type, and a property's keys that would be limits of which we know nothing.
_OPTIONS = {"string": ("minLength", "maxLength", "pattern"), "integer": ("minimum", "maximum"),
            "number": ("minimum", "maximum"), "boolean": ()}  # fmt: skip
_NOT_RUN = ("enum", "properties", "items", "map")
_MAX_REJECTED_SHARE = "maxRejectedShare"
_HOLDS_IN = "holdsIn"
_EACH_PIECE = "each piece"


class RowRule(NamedTuple):
    """One limit on the values of a column."""

    name: str
    column: str
    check: str
    value: Any

    def broken(self) -> pl.Expr:
        """Whether a row breaks the rule; a missing value breaks `required` alone."""
        return _BROKEN[self.check](pl.col(self.column), self.value).fill_null(value=False).alias(self.name)


class TableRule(NamedTuple):
    """One limit on the table as a whole, as Great Expectations knows it."""

    name: str
    expectation: str
    arguments: Mapping[str, Any]


class KeyRule(NamedTuple):
    """Columns whose values together come once in a table."""

    name: str
    columns: tuple[str, ...]


class QueryRule(NamedTuple):
    """One limit on tables: a query that gives one number, which must be this one; if so in each piece of them alone."""

    name: str
    query: str
    must_be: float
    alone: bool = False


class Judged(NamedTuple):
    """Rows that keep the contract, and rows that do not, with the names of all rules they broke in `reasons`."""

    accepted: pl.DataFrame
    rejected: pl.DataFrame


@dataclass(frozen=True)
class Contract:
    """What a table must be."""

    title: str
    columns: Mapping[str, pl.DataType]
    row_rules: tuple[RowRule, ...]
    table_rules: tuple[TableRule, ...]
    key_rules: tuple[KeyRule, ...]
    query_rules: tuple[QueryRule, ...]
    max_rejected_share: float

    @classmethod
    def read(cls, path: Path, table: str | None = None) -> Self:
        """Contract on one table of a file, by default its only one.

        Raises:
            ContractError: the file is not readable, or says something that is not run.
        """
        tables = cls.read_all(path)
        if table is None and len(tables) == 1:
            table = next(iter(tables))
        if table not in tables:
            raise ContractError(f"{path}: expected a schema named {table!r}, found {sorted(tables)}")
        return tables[table]

    @classmethod
    def read_all(cls, path: Path) -> dict[str, Self]:
        """Contracts on all tables of a file, by name.

        Raises:
            ContractError: the file is not readable, or says something that is not run.
        """
        odcs = read_odcs(path)
        try:
            return {str(schema.name): cls._compile(odcs, schema) for schema in odcs.schema_ or []}
        except ContractError as error:
            raise ContractError(f"{path}: {error}") from None

    @classmethod
    def _compile(cls, odcs: OpenDataContractStandard, schema: SchemaObject) -> Self:
        properties, name = schema.properties or [], str(schema.name)
        is_one = len(odcs.schema_ or []) == 1
        said = [_table_rule(quality) for quality in schema.quality or [] if quality.type != "text"]
        return cls(
            title=f"{name if is_one else f'{odcs.name}.{name}'} {odcs.version}",
            columns={str(column.name): _type_of(column) for column in properties},
            row_rules=tuple(rule for column in properties for rule in _row_rules(column)),
            table_rules=tuple(rule for rule in said if isinstance(rule, TableRule)),
            key_rules=tuple(rule for rule in said if isinstance(rule, KeyRule)),
            query_rules=tuple(rule for rule in said if isinstance(rule, QueryRule)),
            max_rejected_share=_max_rejected_share(schema),
        )

    @property
    def name(self) -> str:
        """Name of the table."""
        return self.title.split()[0].rpartition(".")[2]

    @property
    def rules(self) -> int:
        """How many limits it has."""
        return len(self.row_rules) + len(self.table_rules) + len(self.key_rules) + len(self.query_rules)

    def of_a_piece(self) -> Self:
        """What can be said of a piece of the table alone."""
        alone = tuple(rule for rule in self.row_rules if rule.check != "unique")
        queries = tuple(rule for rule in self.query_rules if rule.alone)
        return replace(self, row_rules=alone, table_rules=(), key_rules=(), query_rules=queries)

    def of_the_whole(self) -> Self:
        """What needs all pieces of the table, and the columns that it needs beside those that queries name."""
        unique = tuple(rule for rule in self.row_rules if rule.check == "unique")
        needed = {rule.column for rule in unique} | {column for rule in self.key_rules for column in rule.columns}
        needed |= {rule.arguments["column"] for rule in self.table_rules if "column" in rule.arguments}
        return replace(
            self,
            columns={name: kind for name, kind in self.columns.items() if name in needed},
            row_rules=unique,
            query_rules=tuple(rule for rule in self.query_rules if not rule.alone),
        )

    @property
    def unique_columns(self) -> tuple[str, ...]:
        """Columns of which no value may come twice."""
        return tuple(rule.column for rule in self.row_rules if rule.check == "unique")

    @property
    def unique(self) -> dict[str, tuple[str]]:
        """Columns of which no value may come twice, by rule."""
        return {rule.name: (rule.column,) for rule in self.row_rules if rule.check == "unique"}

    def repeats(self, parts: Callable[[], Iterable[pl.DataFrame]]) -> pl.DataFrame:
        """Broken `unique` rules, a boolean column each: rows of a whole table whose value came before.

        Args:
            parts: gives the table's parts, in their order, with `unique_columns` at least; called twice if need be.
        """
        return repeats(parts, self.unique)

    def judge(self, frame: pl.DataFrame, repeats: pl.DataFrame | None = None) -> Judged:
        """Part rows by the row rules; rows that all keep them come back as the frame that was given.

        Args:
            frame: a table, or a part of one.
            repeats: rows of `repeats` for this part; by default the part is the table.

        Raises:
            ContractError: a column is missing or of another type.
        """
        self._check_columns(frame)
        broken = self.broken(frame, self.repeats(lambda: [frame]) if repeats is None else repeats)
        if not broken.width or not (bad := broken.select(pl.any_horizontal(pl.all())).to_series()).any():
            return Judged(frame, frame.clear().with_columns(reasons=pl.Series(dtype=pl.List(pl.String))))
        names = [pl.when(pl.col(name)).then(pl.lit(name)) for name in broken.columns]
        reasons = broken.filter(bad).select(reasons=pl.concat_list(names).list.drop_nulls())
        return Judged(frame.filter(~bad), frame.filter(bad).hstack(reasons))

    def broken(self, frame: pl.DataFrame, repeats: pl.DataFrame) -> pl.DataFrame:
        """A boolean column for each row rule: rows that break it."""
        alone = frame.select(rule.broken() for rule in self.row_rules if rule.check != "unique")
        return alone.hstack(repeats).select(rule.name for rule in self.row_rules)

    def _check_columns(self, frame: pl.DataFrame) -> None:
        found = dict(frame.schema)
        wrong = [f"{name} {kind}" for name, kind in self.columns.items() if found.get(name) != kind]
        if wrong:
            raise ContractError(
                f"{self.title}: expected the columns {', '.join(wrong)}, "
                f"found {', '.join(f'{name} {kind}' for name, kind in found.items())}"
            )


def _type_of(column: SchemaProperty) -> pl.DataType:
    kind = str(column.logicalType)
    if kind not in _TYPES:
        raise ContractError(f"{column.name}: logicalType {kind} is not run; allowed: {', '.join(_TYPES)}")
    return _TYPES[kind]


def _row_rules(column: SchemaProperty) -> list[RowRule]:
    name, kind = str(column.name), str(column.logicalType)
    for key in _NOT_RUN:
        if getattr(column, key) is not None:
            raise ContractError(f"{name}.{key} is not run; say it as quality with metric invalidValues")
    rules = []
    if column.required or column.primaryKey:
        rules.append(RowRule(f"{name}.required", name, "required", value=True))
    if column.unique or column.primaryKey:
        rules.append(RowRule(f"{name}.unique", name, "unique", value=True))
    for option, value in (column.logicalTypeOptions or {}).items():
        if option not in _OPTIONS[kind]:
            raise ContractError(f"{name}.logicalTypeOptions.{option} is not run; allowed: {', '.join(_OPTIONS[kind])}")
        rules.append(RowRule(f"{name}.{option}", name, option, value))
    rules += [_quality_rule(name, quality) for quality in column.quality or [] if quality.type != "text"]
    return rules


def _quality_rule(column: str, quality: DataQuality) -> RowRule:
    """`invalidValues` that must be 0 is a limit on every row."""
    given = dict(quality.arguments or {})
    if quality.metric == "invalidValues" and quality.mustBe == 0 and len(given) == 1:
        check, value = given.popitem()
        if check in ("pattern", "validValues"):
            return RowRule(f"{column}.{quality.name}", column, check, value)
    raise ContractError(
        f"{column}.quality {quality.name!r} is not run; allowed: metric invalidValues with arguments pattern or "
        "validValues and mustBe: 0"
    )


def _table_rule(quality: DataQuality) -> TableRule | KeyRule | QueryRule:
    name = str(quality.name)
    if quality.type == "custom" and quality.engine == GREAT_EXPECTATIONS and isinstance(quality.implementation, dict):
        said = quality.implementation
        return TableRule(name, str(said.get("type")), dict(said.get("kwargs", {})))
    if quality.type == "sql" and quality.query and quality.mustBe is not None:
        return QueryRule(name, quality.query, float(quality.mustBe), _is_alone(name, quality))
    given = dict(quality.arguments or {})
    if quality.metric == "duplicateValues" and quality.mustBe == 0 and list(given) == ["properties"]:
        return KeyRule(name, tuple(given["properties"]))
    exact = quality.mustBe
    low = exact if exact is not None else quality.mustBeGreaterOrEqualTo
    high = exact if exact is not None else quality.mustBeLessOrEqualTo
    if quality.metric == "rowCount" and (low is not None or high is not None):
        limits = {"min_value": low, "max_value": high}
        bounds = {key: value for key, value in limits.items() if value is not None}
        return TableRule(name, ROW_COUNT, bounds)
    raise ContractError(
        f"quality {name!r} is not run; allowed: metric rowCount with mustBe, mustBeGreaterOrEqualTo or "
        "mustBeLessOrEqualTo, "
        "metric duplicateValues with arguments properties and mustBe: 0, type sql with a query and mustBe, "
        f"or type custom with engine {GREAT_EXPECTATIONS}"
    )


def _is_alone(name: str, quality: DataQuality) -> bool:
    """Whether a query is on each piece alone; the numbers of pieces are added up, so that only 0 can be asked for."""
    said = {custom.property: custom.value for custom in quality.customProperties or []}
    if said and (said != {_HOLDS_IN: _EACH_PIECE} or quality.mustBe != 0):
        raise ContractError(
            f"quality {name!r}: customProperties {said} with mustBe {quality.mustBe} is not run; allowed: "
            f"{_HOLDS_IN} {_EACH_PIECE!r} with mustBe: 0"
        )
    return bool(said)


def _max_rejected_share(schema: SchemaObject) -> float:
    """Share of rows that may be rejected; nothing said: none."""
    share: Any = 0.0
    for custom in schema.customProperties or []:
        if custom.property != _MAX_REJECTED_SHARE:
            raise ContractError(f"customProperties {custom.property!r} is not run; allowed: {_MAX_REJECTED_SHARE}")
        share = custom.value
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ContractError(f"customProperties {_MAX_REJECTED_SHARE}: expected a number from 0 to 1, found {share!r}")
    return float(share)
