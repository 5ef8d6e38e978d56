"""Contracts as rules: every limit of the file is run, every broken rule is named, nothing unknown is passed over."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_contracts.contract import DOCUMENTS, PACKED, RAW, Contract, RowRule
from data_contracts.errors import ContractError
from tasks.big_data import documents

HEAD = "apiVersion: v3.1.0\nkind: DataContract\nid: t\nversion: 2.0.0\nschema:\n  - name: rows\n"
COLUMN = "    properties:\n      - name: a\n        logicalType: string\n"


def contract(tmp_path, body: str) -> Contract:
    path = tmp_path / "t.odcs.yaml"
    path.write_text(HEAD + body)
    return Contract.read(path)


def row(**values) -> dict:
    good = {"id": "a" * 32, "uri": "u", "source": "s", "group": "g", "licence": "MIT", "language": "en", "meta": "",
            "text": "hi", "digest": "b" * 64}  # fmt: skip
    return {**good, **values}


def table(*rows: dict) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=documents.SCHEMA)


def test_the_contract_on_documents_covers_every_column_of_the_table():
    found = Contract.read(DOCUMENTS)
    assert dict(found.columns) == dict(documents.SCHEMA)
    assert found.title == "documents 2.0.0"
    assert found.max_rejected_share == 0.02
    assert found.unique_columns == ("id", "uri", "digest")
    assert {rule.column for rule in found.row_rules if rule.check == "required"} == set(documents.COLUMNS)


def test_every_rejected_row_has_all_rules_it_broke():
    rows = table(
        row(),
        row(id="A" * 32, uri="", digest=None),
        row(id="c" * 32, uri="v", digest="c" * 64, text="\x00"),
        row(id="d" * 32, uri="w", digest="d" * 64, text=" \n\t", licence="(c) us, all rights"),
        row(id="a" * 32, uri="u", digest="e" * 64),
    )
    judged = Contract.read(DOCUMENTS).judge(rows)
    assert judged.accepted.rows() == rows.head(1).rows()
    assert judged.rejected["reasons"].to_list() == [
        ["id.pattern", "uri.minLength", "digest.required"],
        ["text.no_control_characters"],
        ["licence.pattern", "text.not_blank"],
        ["id.unique", "uri.unique"],
    ]


def test_a_contract_of_all_kinds_worked_by_hand(tmp_path):
    body = (
        "    customProperties: [{property: maxRejectedShare, value: 0.5}]\n"
        "    properties:\n"
        "      - {name: a, logicalType: string, required: true, logicalTypeOptions: {minLength: 2, maxLength: 3}}\n"
        "      - {name: n, logicalType: integer, logicalTypeOptions: {minimum: 1, maximum: 9}, quality: [\n"
        "          {name: odd, metric: invalidValues, arguments: {validValues: [1, 3, 5, 99]}, mustBe: 0}]}\n"
    )
    rows = pl.DataFrame(
        {"a": ["ab", "a", "größ", None, "abc"], "n": [1, 0, 99, None, 2]}, schema={"a": pl.String, "n": pl.Int64}
    )
    judged = contract(tmp_path, body).judge(rows)
    assert judged.accepted.rows() == [("ab", 1)]
    assert judged.rejected["reasons"].to_list() == [
        ["a.minLength", "n.minimum", "n.odd"],
        ["a.maxLength", "n.maximum"],
        ["a.required"],
        ["n.odd"],
    ]


@given(st.lists(st.sampled_from("abc"), max_size=8), st.integers(min_value=1, max_value=8))
def test_values_that_came_before_are_known_across_parts(values, size):
    """Judging a table in parts is judging it whole."""
    rows = table(*(row(id=f"{n:032x}", uri=value, digest=f"{n:064x}") for n, value in enumerate(values)))
    whole = Contract.read(DOCUMENTS)
    repeats = whole.repeats(lambda: [rows.slice(k, size) for k in range(0, rows.height, size)])
    parts = [whole.judge(rows.slice(k, size), repeats.slice(k, size)) for k in range(0, rows.height, size)]
    assert sum(part.accepted.height for part in parts) == len(set(values))
    assert [r for part in parts for r in part.rejected.rows()] == whole.judge(rows).rejected.rows()


def test_a_table_of_other_columns_is_refused():
    rows = table(row()).drop("digest").with_columns(text=pl.lit(1))
    with pytest.raises(ContractError, match=r"expected the columns text String, digest String, found id String"):
        Contract.read(DOCUMENTS).judge(rows)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (COLUMN.replace("string", "array"), "a: logicalType array is not run; allowed: string"),
        (COLUMN + "        logicalTypeOptions: {format: email}\n", "logicalTypeOptions.format is not run"),
        (COLUMN + "        enum: [{value: x}]\n", "a.enum is not run; say it as quality"),
        (COLUMN + "        quality: [{name: q, metric: nullValues, mustBe: 0}]\n", "a.quality 'q' is not run"),
        (
            COLUMN
            + "        quality: [{name: q, metric: invalidValues, arguments: {pattern: x}, mustBeLessThan: 5}]\n",
            "a.quality 'q' is not run",
        ),
        ("    quality: [{name: q, metric: rowCount, mustNotBe: 3}]\n" + COLUMN, "quality 'q' is not run"),
        ("    quality: [{name: q, type: sql, query: SELECT 1, mustBeLessThan: 1}]\n" + COLUMN, "'q' is not run"),
        ("    quality: [{name: q, metric: duplicateValues, mustBe: 0}]\n" + COLUMN, "quality 'q' is not run"),
        ("    customProperties: [{property: other, value: 1}]\n" + COLUMN, "customProperties 'other' is not run"),
        ("    customProperties: [{property: maxRejectedShare, value: 2}]\n" + COLUMN, "from 0 to 1, found 2"),
    ],
)
def test_a_limit_that_is_not_run_is_refused(tmp_path, body, message):
    with pytest.raises(ContractError, match=message):
        contract(tmp_path, body)


def test_text_for_people_is_no_limit(tmp_path):
    said = contract(tmp_path, "    quality: [{name: q, type: text, description: looks good}]\n" + COLUMN)
    assert said.table_rules == ()
    assert said.row_rules == ()
    assert said.max_rejected_share == 0


def test_a_table_must_be_in_the_contract():
    with pytest.raises(ContractError, match=r"expected a schema named 'shards', found \['documents'\]"):
        Contract.read(DOCUMENTS, "shards")


def test_a_rule_is_named_by_its_column():
    rule = RowRule("text.minLength", "text", "minLength", 3)
    assert pl.DataFrame({"text": ["ab", "abc", None]}).select(rule.broken()).to_dict(as_series=False) == {
        "text.minLength": [True, False, False]
    }


def test_rows_that_keep_all_rules_come_back_as_they_were_given():
    """By which the step knows that their file is written already."""
    rows = table(row())
    assert Contract.read(DOCUMENTS).judge(rows).accepted is rows


def test_a_value_is_not_refused_because_of_its_hash(monkeypatch):
    """Hashes that are the same are no proof."""
    monkeypatch.setattr(pl.Expr, "hash", lambda self: self.is_null().cast(pl.UInt64))
    found = Contract.read(DOCUMENTS).repeats(lambda: [table(row(), row(id="c" * 32, uri="v")), table(row(uri=None))])
    assert found.to_dict(as_series=False) == {
        "id.unique": [False, False, True], "uri.unique": [False, False, False], "digest.unique": [False, True, True],
    }  # fmt: skip


def test_every_contract_of_the_project_is_run():
    tables = {path.name: list(Contract.read_all(path)) for path in (DOCUMENTS, RAW, PACKED)}
    assert list(tables.values()) == [["documents"], ["raw"], ["index", "pieces", "held_out"]]
    assert Contract.read(RAW).columns == Contract.read(DOCUMENTS).columns
    assert Contract.read(PACKED, "index").title == "packed.index 2.0.0"
