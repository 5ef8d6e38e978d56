"""From source to tokens and back: what each step did with a document, and which document a token is of."""

from itertools import pairwise

import polars as pl
import pytest

from data_contracts.pieces import Stream
from data_contracts.records import SourceFile
from tasks.big_data import documents
from tasks.big_data.documents import document_id
from tasks.big_data.manifest import write_manifest
from tasks.big_data.trace import STEPS, documents_at, source_file, trace_document
from tasks.report import StepError
from tests.packed import whole_index
from tests.tables import Document, write_all

TEXTS = {f"docs/a.jsonl#{n}": f"Row {n} says something that is worth learning. " * (1 + n % 3) for n in range(40)}
CHANGED, COPY, BAD, SHORT = "docs/a.jsonl#3", "docs/a.jsonl#5", "docs/a.jsonl#7", "docs/a.jsonl#8"


def table(texts: dict[str, str]) -> pl.DataFrame:
    rows = [
        Document(document_id(uri), uri, "docs", uri, "MIT", "", "", text, documents.digest_of(text))
        for uri, text in texts.items()
    ]
    return pl.DataFrame(rows, schema=documents.SCHEMA, orient="row")


@pytest.fixture
def traced(workspace):
    """Forty rows of one file: one is changed by privacy, three are dropped on the way, the others are packed."""
    out = {"ingest": (BAD, "not_utf8"), "clean": (SHORT, "too_short"),
           "dedup": (COPY, f"duplicate_of:{document_id(CHANGED)}")}  # fmt: skip
    texts = dict(TEXTS)
    for step in STEPS:
        if step == "privacy":
            texts[CHANGED] = "Row <EMAIL> says something."
        rejected = documents.REJECTED_SCHEMA.to_frame()
        if step in out:
            uri, reason = out[step]
            rejected = table({uri: texts.pop(uri)}).with_columns(reasons=pl.lit([reason]))
        # As `put`, which writes what all other steps need, then the rejected rows too.
        workspace.put(step, texts)
        write_all(workspace.out(step), table(texts), rejected)
    write_manifest(
        workspace.out("discover"),
        [SourceFile(uri=uri, source="docs", size=10, sha256=letter * 64)
         for uri, letter in (("docs/a.jsonl", "a"), ("docs/a.jsonl.gz", "b"))],
    )  # fmt: skip
    workspace.set(tokenizer={"vocab_size": 300})
    workspace.run("tokenizer", "pack")
    return workspace


@pytest.mark.parametrize("name", [CHANGED, document_id(CHANGED)])
def test_a_document_is_followed_by_uri_or_id(traced, name):
    found = trace_document(traced.settings(), name)
    assert (found.uri, found.id, found.source) == (CHANGED, document_id(CHANGED), "docs")
    assert found.source_file["sha256"] == "a" * 64
    outcomes = {did.step: did.outcome for did in found.steps}
    assert outcomes == dict.fromkeys(STEPS, "kept") | {"privacy": "changed"}
    assert found.steps[-1].sha256 == documents.digest_of("Row <EMAIL> says something.")
    assert found.side in ("train", "held_out")


@pytest.mark.parametrize(
    ("uri", "step", "reason"),
    [(BAD, "ingest", "not_utf8"), (SHORT, "clean", "too_short"), (COPY, "dedup", "duplicate_of")],
)
def test_a_dropped_document_says_where_and_why(traced, uri, step, reason):
    found = trace_document(traced.settings(), uri)
    assert found.side == "dropped"
    assert found.places == ()
    *before, last = found.steps
    assert (last.step, last.outcome) == (step, "dropped")
    assert last.reasons[0].partition(":")[0] == reason
    assert [did.outcome for did in before] == ["kept"] * len(before)


def test_there_and_back_for_every_token(traced):
    settings = traced.settings()
    index = whole_index(traced.out("pack"))
    for row in index.iter_rows(named=True):
        found = trace_document(settings, row["uri"])
        assert found.side == row["split"]
        [place] = found.places
        assert (place.offset, place.tokens, place.epoch) == (row["offset"], row["tokens"], 0)
        for token in (place.offset, place.offset + place.tokens - 1):
            [held] = documents_at(settings, place.split, token, token + 1)
            assert (held.id, held.place, held.first, held.stop) == (row["id"], place, token, token + 1)


def test_a_run_of_tokens_is_parted_among_its_documents(traced):
    total = len(Stream(traced.out("pack")))
    held = documents_at(traced.settings(), "train", 5, total - 5)
    assert held[0].first == 5
    assert held[-1].stop == total - 5
    assert all(one.stop == other.first for one, other in pairwise(held))
    with pytest.raises(StepError, match=f"from 0 to {total - 1:,} of the train stream"):
        documents_at(traced.settings(), "train", total, total + 1)


def test_a_document_left_out_by_its_weight_says_so(traced):
    traced.set(discover={"sources": [{"uri": "docs", "weight": 0.3}]})
    traced.run("pack")
    index = whole_index(traced.out("pack"))
    gone = next(uri for uri in documents.read(traced.out("validate"), ["uri"])["uri"] if uri not in set(index["uri"]))
    assert trace_document(traced.settings(), gone).side == "left_out"


def test_a_document_is_traced_before_it_is_packed(workspace):
    workspace.put("ingest", TEXTS)
    found = trace_document(workspace.settings(), CHANGED)
    assert [did.step for did in found.steps] == ["ingest"]
    assert (found.side, found.source_file) == ("not_packed", None)
    with pytest.raises(StepError, match="dvc repro pack"):
        documents_at(workspace.settings(), "train", 0, 1)


def test_an_unknown_name_says_what_there_is(traced, workspace):
    with pytest.raises(StepError, match=r"docs/a\.jsonl#0, docs/a\.jsonl#1"):
        trace_document(traced.settings(), "docs/a.jsonl")
    with pytest.raises(StepError, match="none has this in its name"):
        trace_document(traced.settings(), "f" * 32)


def test_without_documents_the_next_move_is_named(workspace):
    with pytest.raises(StepError, match="dvc repro ingest"):
        trace_document(workspace.settings(), "x")


def test_the_longest_name_in_the_manifest_is_the_file(tmp_path):
    archive = 'größe "x".zip'
    files = ["a!b#1.txt", "a", archive, f"{archive}per"]
    write_manifest(tmp_path, [SourceFile(uri=uri, source="s", size=1, sha256="a" * 64) for uri in files])
    expected = {"a!b#1.txt#7": "a!b#1.txt", "a!other": "a", f"{archive}!inner.csv#3": archive, "b#1": None}
    for uri, file in expected.items():
        assert (source_file(tmp_path, uri) or {"uri": None})["uri"] == file
