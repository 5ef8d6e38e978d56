"""What a source is like does not depend on the order or the shards of its documents, and is not measured twice."""

import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.big_data import documents, survey
from tasks.big_data.engine import InProcess
from tasks.big_data.formats import CODE_SUFFIXES
from tasks.big_data.sources import kind_of
from tasks.big_data.survey import NOTE_CHARACTERS, Measures, ends_in, measure

ROW = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from([".py", ".txt", ".PY.gz", ".md", ".jsonl#3"]),
    st.sampled_from(
        ["", " \n", "note", "x" * 299, "x" * 300, "word " * 90, "Confidential, do not pass on\n" + "y " * 300]
    ),
)


def frame(rows) -> pl.DataFrame:
    found = [
        (documents.document_id(str(n)), f"{n}{suffix}", source, text, documents.digest_of(text))
        for n, (source, suffix, text) in enumerate(rows)
    ]
    columns = {name: pl.String() for name in ("id", "uri", "source", "text", "digest")}
    return pl.DataFrame(found, schema=pl.Schema(columns), orient="row")


@settings(deadline=None)  # the first one compiles
@given(st.lists(ROW, max_size=40), st.randoms(use_true_random=False))
def test_order_changes_nothing(rows, shuffle: random.Random):
    table = frame(rows)
    order = list(range(table.height))
    shuffle.shuffle(order)
    assert measure(table[order]) == measure(table)


@settings(deadline=None)  # the first one compiles
@given(st.lists(ROW, max_size=40), st.integers(0, 40))
def test_shards_add_up(rows, cut):
    table = frame(rows)
    total: dict[str, Measures] = {}
    for part in (table[:cut], table[cut:]):
        for source, measures in measure(part).items():
            total.setdefault(source, Measures()).add(Measures.of_note(measures.note()))
    whole = measure(table)
    for measures in (*total.values(), *whole.values()):  # a line that is once in each shard is not kept
        measures.lines.clear()
    assert total == whole


def test_the_median_is_the_lower_of_two_and_ends_at_a_note():
    assert Measures().median_length == 0
    lengths = {"a": [5], "b": [5, 9], "c": [5, 9, 11], "d": [400, 300, 5]}
    table = frame([(source, ".txt", "x" * length) for source, each in lengths.items() for length in each])
    medians = {source: measures.median_length for source, measures in measure(table).items()}
    assert medians == {"a": 5, "b": 5, "c": 9, "d": NOTE_CHARACTERS}


@pytest.mark.parametrize(
    "uri",
    [
        "a.py",
        "a.PY",
        "a.py.gz",
        "a.py#1",
        "a.py.zst#1",
        "a/b.rs",
        "a.txt",
        "py",
        "a.py/b.txt",
        "a.jsonl#1",
        "d/a.jsonl.gz#12",
        "d/a.md",
        "c#/a.txt",
        "d/notes#1.md",
        "c#/a.py",
        "d/notes#1.py#2",
    ],
)
def test_an_ending_is_what_it_is_for_the_readers(uri):
    suffix, _ = kind_of(uri) or kind_of(uri.rpartition("#")[0]) or ("", "")
    assert pl.Series([uri]).str.contains(ends_in(CODE_SUFFIXES))[0] == (suffix in CODE_SUFFIXES)


def test_a_shard_is_measured_once(workspace, monkeypatch):
    workspace.put("ingest", {f"docs/{n}.txt": f"note {n}" for n in range(5)})
    first = survey.survey(workspace.out("ingest"), workspace.settings(), InProcess())
    assert first[0]["docs"].documents == 5
    assert first[1] == {"0": ("docs",)}
    monkeypatch.setattr(survey, "measure", None)
    assert survey.survey(workspace.out("ingest"), workspace.settings(), InProcess()) == first
