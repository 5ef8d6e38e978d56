"""A contract's rules become two Great Expectations suites, and Data Docs that say how it went, both of bounded size.

Table rules run on all accepted rows, of which they get the columns that they name. Row rules, which were run on every
row before, run a second time, by other code, on a sample: that accepted rows keep them is checked, not believed. The
only module that knows Great Expectations; it takes seconds to import, so it is imported when it is needed.
"""

import importlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import polars as pl

from data_contracts.contract import Contract, RowRule, TableRule
from data_contracts.data_docs import settle
from data_contracts.errors import ContractError

_EXAMPLES = 3
# What it imports for the sake of three expectations of distributions: a third of its import.
_SELDOM_USED = ("scipy.stats", "altair")
# Great Expectations names a run by its time; two runs on the same table are the same run.
RUN_TIME = datetime(2000, 1, 1, tzinfo=UTC)


class Failure(NamedTuple):
    """A rule that the table breaks: what was expected, what was found, and up to three values that show it."""

    rule: str
    expected: str
    found: str
    examples: tuple[str, ...]


class Tables(NamedTuple):
    """What the suites run on: `columns_of_table` of all accepted rows, and some of these rows, whole."""

    whole: pl.DataFrame
    sample: pl.DataFrame


def columns_of_table(contract: Contract) -> list[str]:
    """Columns that table rules name; of these all rows are needed."""
    named = {str(rule.arguments["column"]) for rule in contract.table_rules if "column" in rule.arguments}
    return [column for column in contract.columns if column in named]


def run_expectations(contract: Contract, tables: Tables, docs: Path) -> list[Failure]:
    """Run the suites and write Data Docs, the same bytes for the same tables, into `docs`.

    Args:
        contract: what the tables must be.
        tables: they themselves.
        docs: folder for the pages.

    Raises:
        ContractError: the contract names an expectation that does not exist, or one that could not be run.
    """
    context = _context(docs)
    source = context.data_sources.add_pandas("artifacts")
    rows = [_table_rule_of(rule) for rule in contract.row_rules]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pandas and Great Expectations about each other
        results = [
            *_run(context, source, contract.title, "all-rows", contract.table_rules, _pandas(tables.whole)),
            *_run(context, source, contract.title, "sample", rows, _pandas(tables.sample)),
        ]
        context.build_data_docs(site_names=["docs"])
    settle(docs)
    order = [*(rule.name for rule in contract.row_rules), *(rule.name for rule in contract.table_rules)]
    return sorted(_failures(results), key=lambda failure: order.index(failure.rule))


def run_table_rules(contract: Contract, rules: Sequence[TableRule], frame: pl.DataFrame) -> list[Failure]:
    """Run table rules without pages.

    Args:
        contract: whose rules they are.
        rules: some of its table rules.
        frame: the columns that they name, of all rows.

    Raises:
        ContractError: an expectation does not exist, or could not be run.
    """
    with tempfile.TemporaryDirectory() as folder:
        context = _context(Path(folder))
        source = context.data_sources.add_pandas("artifacts")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pandas and Great Expectations about each other
            return list(_failures(_run(context, source, contract.title, "all-rows", rules, _pandas(frame))))


def _run(context: Any, source: Any, title: str, name: str, rules: Sequence[TableRule], table: Any) -> Iterable[Any]:
    """Results of one suite."""
    from great_expectations import ExpectationSuite, ValidationDefinition
    from great_expectations.core.run_identifier import RunIdentifier

    if not rules:
        return []
    suite = context.suites.add(ExpectationSuite(name=f"{title.split()[0]}-{name}"))
    suite.expectations = list(_expectations(title, rules))
    suite.save()
    batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("accepted")
    definition = context.validation_definitions.add(ValidationDefinition(name=name, data=batch, suite=suite))
    run = RunIdentifier(run_name=title.replace(" ", "-"), run_time=RUN_TIME)
    results: Iterable[Any] = definition.run(batch_parameters={"dataframe": table}, run_id=run).results
    return results


def _pandas(frame: pl.DataFrame) -> Any:
    """Texts of few values take a byte or four a row."""
    return frame.to_pandas(use_pyarrow_extension_array=True)


def ready() -> Any:
    """Great Expectations, which takes seconds to import; ask early, in a thread, if there is other work meanwhile."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # tells of its own registries at INFO
    with warnings.catch_warnings(), _when_used(*_SELDOM_USED):
        warnings.simplefilter("ignore")  # deprecations inside Great Expectations are not ours to mend
        import great_expectations
    return great_expectations


class _Later(ModuleType):
    """Stands for a module until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def _when_used(*names: str) -> Iterator[None]:
    """What imports these modules within the block gets them when it first uses them."""
    later = {name: _Later(name) for name in names if name not in sys.modules}
    for name, module in later.items():
        module.__spec__ = ModuleSpec(name, None)
        sys.modules[name] = module
    try:
        yield
    finally:
        for name, module in later.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _context(docs: Path) -> Any:
    """A context that keeps nothing but the pages, says nothing and calls nobody."""
    great_expectations = ready()
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    site = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        data_docs_sites={"docs": site},
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    return great_expectations.get_context(mode="ephemeral", project_config=config)


def _expectations(title: str, rules: Iterable[TableRule]) -> Iterable[Any]:
    """An expectation for each rule, with the rule's name."""
    from great_expectations.expectations.registry import get_expectation_impl

    for rule in rules:
        try:
            yield get_expectation_impl(rule.expectation)(**rule.arguments, meta={"rule": rule.name})
        except Exception as error:  # Great Expectations raises what its many validators raise
            raise ContractError(f"{title}: rule {rule.name}: {rule.expectation}: {error}") from error


def _table_rule_of(rule: RowRule) -> TableRule:
    """The same limit as a row rule, on all rows at once."""
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "required": ("expect_column_values_to_not_be_null", {}),
        "unique": ("expect_column_values_to_be_unique", {}),
        "minLength": ("expect_column_value_lengths_to_be_between", {"min_value": rule.value}),
        "maxLength": ("expect_column_value_lengths_to_be_between", {"max_value": rule.value}),
        "pattern": ("expect_column_values_to_match_regex", {"regex": rule.value}),
        "minimum": ("expect_column_values_to_be_between", {"min_value": rule.value}),
        "maximum": ("expect_column_values_to_be_between", {"max_value": rule.value}),
        "validValues": ("expect_column_values_to_be_in_set", {"value_set": rule.value}),
    }
    expectation, arguments = kinds[rule.check]
    return TableRule(rule.name, expectation, {"column": rule.column, **arguments})


def _failures(results: Iterable[Any]) -> Iterable[Failure]:
    for result in results:
        if result.success:
            continue
        config, found = result.expectation_config, result.result
        arguments = {key: value for key, value in config.kwargs.items() if key != "batch_id"}
        count = found.get("unexpected_count")
        seen = f"{count:,} rows that are not" if count is not None else f"{found.get('observed_value')}"
        examples = tuple(_shown(value) for value in found.get("partial_unexpected_list", [])[:_EXAMPLES])
        error = (result.exception_info or {}).get("exception_message")
        yield Failure(config.meta["rule"], f"{config.type} {arguments}", str(error or seen), examples)


def _shown(value: Any, width: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= width else f"{text[:width]}…"
