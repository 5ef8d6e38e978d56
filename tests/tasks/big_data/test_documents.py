"""Document tables: nothing vanishes, same rows same bytes, one place a document."""

import hashlib
import io
import json

import polars as pl
import pytest

from tasks.big_data import documents
from tasks.report import StepError
from tests.tables import write_all


def test_id_is_half_a_sha256_of_the_uri():
    assert documents.document_id("docs/a.txt") == hashlib.sha256(b"docs/a.txt").hexdigest()[:32]


def test_a_row_judged_is_kept_with_its_new_digest_or_rejected_as_it_came(workspace):
    workspace.put("ingest", {"docs/a": " hello ", "docs/b": "HEY", "docs/c": "calm"})
    frame = documents.read(workspace.out("ingest"))
    changed = documents.with_texts(frame, {0: "hello"})
    sifted = documents.sifted(changed, {1: ("too_loud", "rude:7")}, {"loud": 1})
    assert dict(sifted.accepted.select("uri", "text").iter_rows()) == {"docs/a": "hello", "docs/c": "calm"}
    assert sifted.accepted["digest"].to_list() == [documents.digest_of(text) for text in sifted.accepted["text"]]
    assert sifted.rejected.select("uri", "text", "reasons").rows() == [("docs/b", "HEY", ["too_loud", "rude:7"])]
    tally = documents.tally_of(3, 10, sifted)
    assert (tally.rows_in, tally.rows_out, tally.rows_rejected) == (3, 2, 1)
    assert tally.reasons == {"too_loud": 1, "rude": 1}
    assert tally.examples == {"too_loud": ["docs/b"], "rude": ["docs/b"]}
    assert documents.Tally.of_note(json.loads(json.dumps(tally.note()))) == tally


def test_facts_are_added_up_and_differences_said():
    first = {"a": 1, "per": {"x": 2}, "names": ["p"], "kind": "z"}
    assert documents.add_facts(first, {"a": 2, "per": {"x": 1, "y": 4}, "names": ["q"], "kind": "z"}) == {
        "a": 3, "per": {"x": 3, "y": 4}, "names": ["p", "q"], "kind": "z",
    }  # fmt: skip
    with pytest.raises(ValueError, match="kind"):
        documents.add_facts(first, {"kind": "other"})


def test_rejected_rows_are_written_only_where_there_are_some(workspace):
    workspace.put("ingest", {"docs/a": "text"})
    assert not (workspace.out("ingest") / "rejected").exists()
    assert documents.read_rejected(workspace.out("ingest")).height == 0


def test_a_missing_table_is_named_with_the_next_move(tmp_path):
    with pytest.raises(StepError, match=r"no shards.json; run what makes it first: `dvc repro clean`"):
        documents.read(tmp_path / "clean")


def test_a_lost_row_cannot_be_reported():
    tally = documents.Tally(rows_in=3, rows_out=1, rows_rejected=1)
    with pytest.raises(ValueError, match="rows were lost or made up"):
        tally.report("clean", {})


def test_whole_tables_are_parted_without_loss(tmp_path):
    rows = pl.DataFrame(
        [(documents.document_id(str(n)), str(n), "s", "g", "l", "", "", "t", "d") for n in range(50)],
        schema=documents.SCHEMA,
        orient="row",
    )
    rejected = rows.head(7).with_columns(reasons=pl.lit(["bad"]))
    tally = write_all(tmp_path, rows.tail(43), rejected)
    assert (tally.rows_in, tally.rows_out, tally.rows_rejected) == (50, 43, 7)
    assert documents.read_rejected(tmp_path).height == 7


def test_the_digest_of_rows_tells_every_change(workspace):
    workspace.put("ingest", {"docs/a": "one", "docs/b": "two"})
    frame = documents.read(workspace.out("ingest"))
    changed = [frame.with_columns(pl.lit("x").alias(name)) for name in documents.COLUMNS if name != "text"]
    moved = frame.with_columns(meta=pl.Series(["a", "b"])), frame.with_columns(meta=pl.Series(["ab", ""]))
    texts = documents.with_texts(frame, {1: "other"})
    all_ = [frame, *changed, *moved, texts, frame.reverse(), frame.head(1), frame.clear()]
    assert len({documents.digest_of_rows(each) for each in all_}) == len(all_)
    assert documents.digest_of_rows(pl.concat([frame.head(1), frame.tail(1)])) == documents.digest_of_rows(frame)


def test_rows_come_back_as_they_were_written(workspace):
    workspace.put("ingest", {"docs/a": "", "docs/b": "zwei\n" * 9})
    frame = documents.read(workspace.out("ingest"))
    rejected = frame.with_columns(reasons=pl.Series([["a", "b:c"], []], dtype=pl.List(pl.String)))
    for each in (frame, rejected, frame.clear(), documents.REJECTED_SCHEMA.to_frame()):
        again = pl.read_parquet(io.BytesIO(documents.document_bytes(each)))
        assert again.schema == each.schema
        assert again.equals(each)
        assert documents.document_bytes(again) == documents.document_bytes(each)
