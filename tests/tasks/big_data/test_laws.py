"""The laws of the data steps, on random corpora: nothing vanishes, nothing is made up, same inputs same bytes."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_contracts.checking import check
from data_contracts.contract import DOCUMENTS, RAW, Contract
from data_contracts.tables import tables_of
from tasks.big_data import documents, validate
from tasks.report import Report, StepError, step_output

STEPS = ("ingest", "clean", "privacy", "dedup")
WORDS = st.sampled_from(
    ["pump", "valve", "jane@corp.de", "10.1.2.30", "größer", "\x00", "\x07", "\ufffd", "-", "...", "\t", " ",
     "\r\n\r\n", "\u2028", "🙂", "e\u0301"]
)  # fmt: skip
TEXT = st.lists(WORDS, max_size=30).map(" ".join)
ROW = st.one_of(
    TEXT.map(lambda text: json.dumps({"text": text}).encode()),
    st.sampled_from(
        [b"", b"{", b"[1]", b'{"text": 1}', b'{"other": "x"}', b'{"text": "\xff"}', b'{"text": "\\ud800"}']
    ),
)
FILE = st.one_of(
    st.tuples(st.sampled_from([".txt", ".md", ".py"]), TEXT.map(str.encode)),
    st.tuples(st.just(".txt"), st.binary(max_size=60)),
    st.tuples(st.just(".jsonl"), st.lists(ROW, max_size=8).map(b"\n".join)),
)
NAMES = st.sampled_from(["a", "b", "c", "sub/a", "sub/b", "sub/deep/c"])
CORPUS = st.dictionaries(NAMES, FILE, min_size=1)


def rows_of(workspace, step: str) -> tuple[set[str], set[str]]:
    accepted = documents.read(workspace.out(step))
    rejected = documents.read_rejected(workspace.out(step))
    assert accepted["id"].n_unique() == accepted.height
    assert accepted["digest"].to_list() == [documents.digest_of(text) for text in accepted["text"]]
    assert all(reasons for reasons in rejected["reasons"].to_list())
    return set(accepted["id"]), set(rejected["id"])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(corpus=CORPUS, min_characters=st.sampled_from([1, 20, 64]))
def test_every_row_goes_on_or_is_kept_with_a_reason(make_workspace, corpus, min_characters):
    workspace = make_workspace()
    workspace.set(clean={"min_characters": min_characters})
    for name, (suffix, content) in corpus.items():
        workspace.file(f"docs/{name}{suffix}", content)
    workspace.run("discover")
    before: set[str] | None = None
    for step in STEPS:
        try:
            report = workspace.run(step)
        except StepError:  # nothing was left, and that was said
            assert not workspace.out(step).exists()
            return
        accepted, rejected = rows_of(workspace, step)
        assert report.rows_in == report.rows_out + report.rows_rejected
        assert (report.rows_out, report.rows_rejected) == (len(accepted), len(rejected))
        assert not accepted & rejected
        assert before is None or accepted | rejected == before
        before = accepted
        once = workspace.bytes_of(step)
        workspace.run(step)
        assert workspace.bytes_of(step) == once
    with step_output(workspace.root / "artifacts", "validate") as out:
        tally = validate.part_table(workspace.out("dedup"), out, Contract.read(DOCUMENTS), workspace.settings())
    accepted, rejected = rows_of(workspace, "validate")
    assert accepted | rejected == before
    assert tally.rows_in == tally.rows_out + tally.rows_rejected == len(before)


def test_the_stage_from_files_to_tokens(workspace, corpus):
    """Real files of the standard library, by the whole stage; a second run from nothing is the same bytes."""
    workspace.set(discover={"sources": [str(corpus)]}, tokenizer={"vocab_size": 600})
    steps = ("discover", *STEPS, "validate", "tokenizer", "pack", "describe")
    workspace.run(*steps)
    report = Report.read(workspace.out("pack"))
    raw = Contract.read_all(RAW)
    assert check(raw, tables_of(workspace.out("ingest"), raw)).broken == ()
    assert report.facts["held_out"]["documents"] == 30
    assert report.facts["train"]["documents"] > 100
    assert report.facts["train"]["bytes_per_token"] > 2
    before = {step: workspace.bytes_of(step) for step in steps}
    workspace.run(*steps, discover=True, cache=workspace.root / "another")
    assert {step: workspace.bytes_of(step) for step in steps} == before


@pytest.mark.parametrize("step", ["ingest", "clean", "privacy", "dedup", "validate", "tokenizer", "pack", "describe"])
def test_a_step_without_its_input_says_what_to_run(workspace, step):
    with pytest.raises(StepError, match="dvc repro"):
        workspace.run(step)
