"""Two versions of a contract become the list of what breaks between them: what was good before and is refused now.

Every version is kept in `released/NAME-VERSION.odcs.yaml`. A contract that says other than its version's file, or that
breaks what the version before allowed and is no new major version, is refused by the tests.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from data_contracts.contract import ENDING, ROOM, ROW_COUNT, Contract, KeyRule, QueryRule, RowRule, TableRule
from data_contracts.errors import ContractError
from data_contracts.odcs import read_odcs

RELEASED = ROOM / "released"
Rule = RowRule | TableRule | KeyRule | QueryRule
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
# Limits of which the smaller value refuses more, and the larger one.
_SMALLER_IS_STRICTER = ("maxLength", "maximum", "max_value")
_LARGER_IS_STRICTER = ("minLength", "minimum", "min_value")


def version_of(path: Path) -> tuple[int, int, int]:
    """Version of a contract.

    Raises:
        ContractError: it is not three numbers.
    """
    said = str(read_odcs(path).version)
    match = _VERSION.fullmatch(said)
    if not match:
        raise ContractError(f"{path}: expected a version of three numbers such as 1.0.0, found {said!r}")
    return int(match[1]), int(match[2]), int(match[3])


def releases(name: str, released: Path = RELEASED) -> list[Path]:
    """Released forms of a contract, the oldest first."""
    found = [path for path in released.glob(f"{name}-*{ENDING}") if read_odcs(path).name == name]
    return sorted(found, key=version_of)


def faults(path: Path, released: Path = RELEASED) -> list[str]:
    """What is wrong with the versions of a contract, each with the next move; empty: nothing.

    Args:
        path: the contract as it is now.
        released: folder of all its versions.
    """
    name, version = str(read_odcs(path).name), version_of(path)
    said = ".".join(map(str, version))
    kept = releases(name, released)
    of_now = released / f"{name}-{said}{ENDING}"
    found = []
    if of_now not in kept:
        found.append(f"{path.name}: version {said} has no released form; copy it to {of_now}")
    elif of_now.read_bytes() != path.read_bytes():
        found.append(f"{path.name}: other than {of_now.name}; give it a new version and copy it to {released}")
    line = [*(file for file in kept if version_of(file) < version), path]
    for old, new in pairwise(line):
        if version_of(new)[0] == version_of(old)[0]:
            found += [
                f"{new.name} {'.'.join(map(str, version_of(new)))} breaks {old.name}: {change}; "
                f"make it version {version_of(old)[0] + 1}.0.0"
                for change in breaking_changes(old, new)
            ]
    return found


def breaking_changes(old: Path, new: Path) -> list[str]:
    """What the new contract refuses that the old one allowed, or promises no more.

    A pattern, a query or a list of values that is another counts as breaking unless it can be seen to allow more.
    """
    before, now = Contract.read_all(old), Contract.read_all(new)
    found = [f"table {name} is gone" for name in before if name not in now]
    found += [f"table {name} is new and required" for name in now if name not in before]
    for name in before.keys() & now.keys():
        prefix = f"{name}: " if len(now) > 1 else ""
        found += [prefix + change for change in _of_table(before[name], now[name])]
    return sorted(found)


def _of_table(old: Contract, new: Contract) -> Iterator[str]:
    for column, kind in old.columns.items():
        if column not in new.columns:
            yield f"column {column} is gone"
        elif new.columns[column] != kind:
            yield f"column {column} was {kind} and is {new.columns[column]}"
    for column in new.columns.keys() - old.columns.keys():
        yield f"column {column} is new, and a table must have it"
    if new.max_rejected_share < old.max_rejected_share:
        yield f"maxRejectedShare was {old.max_rejected_share} and is {new.max_rejected_share}"
    rules_before, rules_now = _by_name(old), _by_name(new)
    new_columns = new.columns.keys() - old.columns.keys()
    for name, rule in rules_now.items():
        if isinstance(rule, RowRule) and rule.column in new_columns:
            continue
        if name not in rules_before:
            yield f"rule {name} is new"
        elif stricter := _stricter(rules_before[name], rule):
            yield f"rule {name} {stricter}"


def _by_name(contract: Contract) -> dict[str, Rule]:
    rules: list[Rule] = [*contract.row_rules, *contract.table_rules, *contract.key_rules, *contract.query_rules]
    return {rule.name: rule for rule in rules}


def _stricter(old: Rule, new: Rule) -> str:
    """How the new rule refuses more than the old one; empty: it does not."""
    if isinstance(old, RowRule) and isinstance(new, RowRule) and old.check == new.check:
        limits = {old.check: old.value}, {new.check: new.value}
    elif isinstance(old, TableRule) and isinstance(new, TableRule) and old.expectation == new.expectation:
        limits = dict(old.arguments), dict(new.arguments)
        if old.expectation != ROW_COUNT and limits[0].get("column") != limits[1].get("column"):
            return "is on another column"
    elif old == new:
        return ""
    else:
        return "says something else"
    return "; ".join(_of_limits(*limits))


def _of_limits(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for key, value in new.items():
        before = old.get(key)
        if before == value:
            continue
        allows_more = before is not None and (
            (key in _SMALLER_IS_STRICTER and value > before)
            or (key in _LARGER_IS_STRICTER and value < before)
            or (key == "validValues" and set(value) > set(before))
        )
        if not allows_more:
            yield f"{key} was {'not said' if before is None else before} and is {value}"
