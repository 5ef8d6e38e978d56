"""Document tables: nothing vanishes, same rows same bytes, one place a document."""

import hashlib

import polars as pl
import pytest

from tasks.big_data import documents
from tasks.big_data.documents import Document, Drop, Keep
from tasks.report import StepError


def test_id_is_half_a_sha256_of_the_uri():
    assert documents.document_id("docs/a.txt") == hashlib.sha256(b"docs/a.txt").hexdigest()[:32]


def test_a_document_lies_in_the_bucket_of_its_first_digit(workspace):
    workspace.put("ingest", {f"docs/{n}.txt": "text" for n in range(40)})
    for bucket in documents.BUCKETS:
        frame = documents.read_bucket(workspace.out("ingest"), bucket)
        assert frame.schema == documents.SCHEMA
        assert all(id_.startswith(bucket) for id_ in frame["id"])
        assert frame["id"].is_sorted()
    assert documents.read(workspace.out("ingest"))["id"].is_sorted()


def test_judged_rows_are_kept_with_their_new_digest_or_dropped_as_they_came(workspace):
    def judge(document: Document) -> Keep | Drop:
        return Drop(("too_loud", "rude:7")) if document.text.isupper() else Keep(document.text.strip())

    workspace.put("ingest", {"docs/a": " hello ", "docs/b": "HEY", "docs/c": "calm"})
    tally = documents.sift(
        workspace.out("ingest"), workspace.out("clean"), lambda frame: documents.judge_rows(frame, judge)
    )

    assert workspace.texts("clean") == {"docs/a": "hello", "docs/c": "calm"}
    accepted = documents.read(workspace.out("clean"))
    assert accepted["digest"].to_list() == [documents.digest_of(text) for text in accepted["text"]]
    rejected = documents.read_rejected(workspace.out("clean"))
    assert rejected.select("uri", "text", "reasons").rows() == [("docs/b", "HEY", ["too_loud", "rude:7"])]
    assert (tally.rows_in, tally.rows_out, tally.rows_rejected) == (3, 2, 1)
    assert tally.reasons == {"too_loud": 1, "rude": 1}
    assert tally.examples == {"too_loud": ["docs/b"], "rude": ["docs/b"]}


def test_rejected_rows_are_written_only_where_there_are_some(workspace):
    workspace.put("ingest", {"docs/a": "text"})
    assert not (workspace.out("ingest") / "rejected").exists()
    assert documents.read_rejected(workspace.out("ingest")).height == 0


def test_same_rows_in_another_order_are_the_same_bytes(make_workspace):
    texts = {f"docs/{n}.txt": f"text {n}" * n for n in range(100)}
    first, second = make_workspace(), make_workspace()
    first.put("ingest", texts)
    second.put("ingest", dict(reversed(texts.items())))
    assert first.bytes_of("ingest") == second.bytes_of("ingest")


def test_a_missing_table_is_named_with_the_next_move(tmp_path):
    with pytest.raises(StepError, match=r"part-0\.parquet; run what makes it first: `dvc repro clean`"):
        documents.read_bucket(tmp_path / "clean", "0")


def test_a_lost_row_cannot_be_reported():
    tally = documents.Tally(rows_in=3, rows_out=1, rows_rejected=1)
    with pytest.raises(ValueError, match="rows were lost or made up"):
        tally.report("clean", {})


def test_whole_tables_are_parted_without_loss(tmp_path):
    rows = pl.DataFrame(
        [(documents.document_id(str(n)), str(n), "s", "g", "l", "t", "d") for n in range(50)],
        schema=documents.SCHEMA,
        orient="row",
    )
    rejected = rows.head(7).with_columns(reasons=pl.lit(["bad"]))
    tally = documents.write_all(tmp_path, rows.tail(43), rejected)
    assert (tally.rows_in, tally.rows_out, tally.rows_rejected) == (50, 43, 7)
    assert documents.read_rejected(tmp_path).height == 7
