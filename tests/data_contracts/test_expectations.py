"""The suite: row rules run a second time, table rules, and Data Docs that are the same bytes each time."""

import re
import subprocess
import sys
from dataclasses import replace

import polars as pl
import pytest

from data_contracts.contract import DOCUMENTS, Contract, TableRule
from data_contracts.errors import ContractError
from data_contracts.expectations import Tables, columns_of_table, run_expectations
from tasks.big_data import documents


def tables(frame: pl.DataFrame) -> Tables:
    """As `validate` makes them of a small table."""
    return Tables(frame.select(pl.col("licence").cast(pl.Categorical)), frame)


def table(number: int) -> pl.DataFrame:
    rows = [(f"{n:032x}", f"u{n}", "s", "g", "MIT", "en", "", f"text {n}", f"{n:064x}") for n in range(number)]
    return pl.DataFrame(rows, schema=documents.SCHEMA, orient="row")


@pytest.fixture(scope="module")
def contract() -> Contract:
    return Contract.read(DOCUMENTS)


@pytest.fixture(scope="module")
def docs(contract, tmp_path_factory):
    """Data Docs of two runs on the same table, in two folders."""
    folders = [tmp_path_factory.mktemp("docs") / "data_docs" for _ in range(2)]
    for folder in folders:
        assert run_expectations(contract, tables(table(100)), folder) == []
    return folders


def test_only_the_columns_with_a_rule_are_needed(contract):
    assert columns_of_table(contract) == ["licence"]


def test_data_docs_are_the_same_bytes_each_time(docs):
    first, second = ({p.relative_to(d): p.read_bytes() for p in d.rglob("*") if p.is_file()} for d in docs)
    assert first == second
    assert sorted(path.suffix for path in first) == [".html"] * 5 + [".ico"]


def test_data_docs_load_nothing_and_name_no_folder(docs):
    pages = [page.read_text() for page in docs[0].rglob("*.html")]
    assert len(pages) == 5
    for page in pages:
        assert not re.search(r"(src=|@import|url\()[\"']?\s*https?:", page)
        assert not re.search(r"<link[^>]*https?:", page)
        assert str(docs[0]) not in page
        assert "/tmp" not in page
        assert "<script" not in page


def test_the_index_leads_to_every_page_and_the_pages_say_every_rule(docs):
    links = re.findall(r'<li><a href="([^"]+)">', (docs[0] / "index.html").read_text())
    assert {docs[0] / link for link in links} == set(docs[0].rglob("*.html")) - {docs[0] / "index.html"}
    pages = sorted((docs[0] / "validations").rglob("*.html"))
    assert len(pages) == 2
    text = " ".join(re.sub(r"<[^>]+>", " ", "".join(page.read_text() for page in pages)).split())
    assert "values must be unique" in text
    assert "Must have greater than or equal to 1 rows" in text


def test_broken_rules_are_named_with_counts_and_examples(contract, tmp_path):
    rows = table(10)
    broken = pl.concat([rows, rows.head(4)]).with_columns(
        text=pl.when(pl.col("uri") == "u9").then(pl.lit("")).otherwise("text")
    )
    failures = {failure.rule: failure for failure in run_expectations(contract, tables(broken), tmp_path / "docs")}
    assert list(failures) == ["id.unique", "uri.unique", "text.minLength", "text.not_blank", "digest.unique"]
    assert failures["uri.unique"].found == "8 rows that are not"
    assert failures["uri.unique"].examples == ("'u0'", "'u1'", "'u2'")
    assert "'min_value': 1" in failures["text.minLength"].expected


def test_a_rule_on_the_whole_table_is_named_with_what_was_seen(contract, tmp_path):
    (failure,) = run_expectations(contract, tables(table(0)), tmp_path / "docs")
    assert failure.rule == "not_empty"
    assert failure.found == "0"


def test_what_is_seldom_used_is_imported_when_it_is():
    code = (
        "import sys; from data_contracts.expectations import ready; ready(); "
        "assert 'scipy.stats' not in sys.modules and 'altair' not in sys.modules; "
        "from great_expectations.expectations.core import expect_column_kl_divergence_to_be_less_than as rule; "
        "assert rule.stats.entropy([0.5, 0.5], [0.5, 0.5]) == 0 and rule.alt.Chart.__module__.startswith('altair'); "
        "import scipy.stats; assert scipy.stats.entropy is rule.stats.entropy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_rule_that_needs_what_is_seldom_used_is_run(contract, tmp_path):
    parts = {"column": "licence", "partition_object": {"values": ["MIT", "X"], "weights": [0.5, 0.5]}, "threshold": 0.1}
    rule = TableRule("even", "expect_column_kl_divergence_to_be_less_than", parts)
    (failure,) = run_expectations(replace(contract, table_rules=(rule,)), tables(table(4)), tmp_path / "docs")
    assert (failure.rule, failure.found[:3]) == ("even", "0.6")


def test_an_expectation_that_does_not_exist_is_refused(contract, tmp_path):
    odd = replace(contract, table_rules=(TableRule("odd", "expect_table_to_shine", {}),))
    with pytest.raises(ContractError, match="rule odd: expect_table_to_shine"):
        run_expectations(odd, tables(table(1)), tmp_path / "docs")
