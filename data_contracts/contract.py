"""A contract becomes rules: row rules, run vectorised so that each rejected row has all it broke, and table rules.

What a contract says and this module does not run is refused, never passed over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import polars as pl
from open_data_contract_standard.model import DataQuality, SchemaObject, SchemaProperty

from data_contracts.odcs import ContractError, read_odcs

DOCUMENTS = Path(__file__).with_name("documents.odcs.yaml")
GREAT_EXPECTATIONS = "great-expectations"
_TYPES: Mapping[str, pl.DataType] = {
    "string": pl.String(), "integer": pl.Int64(), "number": pl.Float64(), "boolean": pl.Boolean(),
}  # fmt: skip
# Check -> rows of a column that break it, given the value in the contract.
_BROKEN: Mapping[str, Callable[[pl.Expr, Any], pl.Expr]] = {
    "required": lambda column, _: column.is_null(),
    "unique": lambda column, _: column.is_not_null() & ~column.is_first_distinct(),
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
    max_rejected_share: float

    @classmethod
    def read(cls, path: Path, table: str | None = None) -> Self:
        """Contract on one table of a file, by default its only one.

        Raises:
            ContractError: the file is not readable, or says something that is not run.
        """
        odcs = read_odcs(path)
        tables = {schema.name: schema for schema in odcs.schema_ or []}
        if table is None and len(tables) == 1:
            table = next(iter(tables))
        if table not in tables:
            raise ContractError(f"{path}: expected a schema named {table!r}, found {sorted(map(str, tables))}")
        try:
            return cls._compile(f"{table} {odcs.version}", tables[table])
        except ContractError as error:
            raise ContractError(f"{path}: {error}") from None

    @classmethod
    def _compile(cls, title: str, schema: SchemaObject) -> Self:
        properties = schema.properties or []
        return cls(
            title=title,
            columns={str(column.name): _type_of(column) for column in properties},
            row_rules=tuple(rule for column in properties for rule in _row_rules(column)),
            table_rules=tuple(_table_rule(quality) for quality in schema.quality or [] if quality.type != "text"),
            max_rejected_share=_max_rejected_share(schema),
        )

    @property
    def unique_columns(self) -> tuple[str, ...]:
        """Columns of which no value may come twice."""
        return tuple(rule.column for rule in self.row_rules if rule.check == "unique")

    def repeats(self, keys: pl.DataFrame) -> pl.DataFrame:
        """Broken `unique` rules, a boolean column each: rows of a whole table whose value came before.

        Args:
            keys: `unique_columns` of all rows, in the order of the table.
        """
        return keys.select(rule.broken() for rule in self.row_rules if rule.check == "unique")

    def judge(self, frame: pl.DataFrame, repeats: pl.DataFrame | None = None) -> Judged:
        """Part rows by the row rules.

        Args:
            frame: a table, or a part of one.
            repeats: rows of `repeats` for this part; by default the part is the table.

        Raises:
            ContractError: a column is missing or of another type.
        """
        self._check_columns(frame)
        rules = [rule.broken() for rule in self.row_rules if rule.check != "unique"]
        broken = frame.select(rules).hstack(self.repeats(frame) if repeats is None else repeats)
        names = [rule.name for rule in self.row_rules]
        reasons = pl.concat_list(pl.when(pl.col(name)).then(pl.lit(name)) for name in names).list.drop_nulls()
        judged = frame.with_columns(broken.select(reasons=reasons)["reasons"])
        good = pl.col("reasons").list.len() == 0
        return Judged(judged.filter(good).drop("reasons"), judged.filter(~good))

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


def _table_rule(quality: DataQuality) -> TableRule:
    name = str(quality.name)
    if quality.type == "custom" and quality.engine == GREAT_EXPECTATIONS and isinstance(quality.implementation, dict):
        said = quality.implementation
        return TableRule(name, str(said.get("type")), dict(said.get("kwargs", {})))
    low, high = quality.mustBeGreaterOrEqualTo, quality.mustBeLessOrEqualTo
    if quality.metric == "rowCount" and (low is not None or high is not None):
        limits = {"min_value": low, "max_value": high}
        given = {key: value for key, value in limits.items() if value is not None}
        return TableRule(name, "expect_table_row_count_to_be_between", given)
    raise ContractError(
        f"quality {name!r} is not run; allowed: metric rowCount with mustBeGreaterOrEqualTo or mustBeLessOrEqualTo, "
        f"or type custom with engine {GREAT_EXPECTATIONS}"
    )


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
