"""The gate: rows that break the contract are kept with all rules; too many, or a broken table, and nothing passes."""

import pytest

from data_contracts.contract import DOCUMENTS
from tasks.big_data import documents, validate
from tasks.report import StepError

GOOD = {f"docs/{n}.txt": f"Document {n} is good." for n in range(100)}


def limits(tmp_path, old: str, new: str):
    """The contract on documents with one limit changed."""
    text = DOCUMENTS.read_text()
    assert old in text
    path = tmp_path / DOCUMENTS.name
    path.write_text(text.replace(old, new, 1))
    return path


def test_good_rows_pass_and_the_others_are_kept_with_all_rules(workspace):
    workspace.put("dedup", {**GOOD, "docs/blank.txt": " \n", "docs/odd.txt": "a\x00"})
    report = workspace.run("validate")

    assert workspace.texts("validate") == GOOD
    assert workspace.reasons("validate") == {
        "docs/blank.txt": ["text.not_blank"],
        "docs/odd.txt": ["text.no_control_characters"],
    }
    assert (report.rows_in, report.rows_out, report.rows_rejected) == (102, 100, 2)
    assert report.facts["contract"] == "documents 2.0.0"
    assert (workspace.out("validate") / "data_docs/index.html").is_file()
    before = workspace.bytes_of("validate")
    workspace.run("validate")
    assert workspace.bytes_of("validate") == before


def test_too_many_rejected_rows_fail_the_step_and_nothing_is_lost(workspace):
    workspace.put("dedup", {**GOOD, **{f"docs/blank{n}": " " * (n + 1) for n in range(5)}})
    with pytest.raises(StepError) as error:
        workspace.run("validate")

    message = str(error.value)
    assert "5 of 105 rows (4.8%) break the contract documents 2.0.0, which allows 2.0%" in message
    assert "rows by rule: text.not_blank 5" in message
    assert message.count("(text.not_blank): ' ") == 3
    assert not workspace.out("validate").exists()
    kept = workspace.settings().runs / "rejected/validate"
    assert str(kept) in message
    assert documents.read_rejected(kept).height == 5


def test_a_table_that_breaks_a_rule_fails_the_step(workspace, monkeypatch, tmp_path):
    monkeypatch.setattr(
        validate, "DOCUMENTS", limits(tmp_path, "mustBeGreaterOrEqualTo: 1", "mustBeGreaterOrEqualTo: 500")
    )
    workspace.put("dedup", GOOD)
    with pytest.raises(StepError, match=r"the accepted 100 rows break .* rule not_empty: expected .*500.*, found 100"):
        workspace.run("validate")
    assert (workspace.settings().runs / "rejected/validate/data_docs/index.html").is_file()


def test_no_row_at_all_fails_the_step(workspace):
    workspace.put("dedup", {})
    with pytest.raises(StepError, match="rule not_empty"):
        workspace.run("validate")


def test_a_contract_that_cannot_be_run_is_an_error_that_says_where(workspace, monkeypatch, tmp_path):
    monkeypatch.setattr(validate, "DOCUMENTS", limits(tmp_path, "required:", "requird:"))
    workspace.put("dedup", GOOD)
    with pytest.raises(StepError, match=r"cannot be run: .*requird: unknown key; did you mean 'required'"):
        workspace.run("validate")


def test_a_query_in_this_contract_is_refused(workspace, monkeypatch, tmp_path):
    """It would need a corpus in memory."""
    rule = "    quality:\n      - {name: odd, type: sql, query: SELECT 1, mustBe: 1}\n"
    monkeypatch.setattr(validate, "DOCUMENTS", limits(tmp_path, "    quality:\n", rule))
    workspace.put("dedup", GOOD)
    with pytest.raises(StepError, match="odd: only packed tables may have such rules"):
        workspace.run("validate")


def test_what_great_expectations_gets_is_bounded_and_chosen_by_hash(workspace):
    workspace.put("dedup", {f"docs/{n}": f"Document {n}." for n in range(5000)})
    report = workspace.run("validate")
    chosen = validate.sample(workspace.out("validate"))
    assert report.facts["sampled_rows"] == chosen.height == 2048
    ids = documents.read(workspace.out("validate"), ["id"])["id"]
    assert chosen["id"].to_list() == sorted(ids)[:2048]
    assert validate.whole(workspace.out("validate"), ["licence"]).height == 5000
    assert validate.whole(workspace.out("validate"), []).height == 5000


def test_a_shard_that_keeps_the_contract_is_the_same_file(workspace):
    workspace.put("dedup", GOOD)
    workspace.run("validate")
    before, after = workspace.bytes_of("dedup"), workspace.bytes_of("validate")
    shards = [name for name in before if name.startswith("part-")]
    assert shards
    assert all(after[name] == before[name] for name in shards)
