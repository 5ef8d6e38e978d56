"""Lines at the edges of many documents are counted by document, and removed wherever they stand."""

import re
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.big_data.boilerplate import Line, chosen, edge_lines, without
from tasks.big_data.buffers import text_buffers
from tasks.thresholds import Boilerplate

FOOTER = "ACME GmbH, Werk Nord, vertraulich"
LINES = st.sampled_from(
    ["", " ", "\t", "a", "short", "Page of the manual", "  Page of  the manual ", FOOTER, "## A heading of a report",
     ".. directive:: of some kind", "| a | row of a table |", "---------- ----------", "1 2 3 4 5 6 7 8 9", "ÄÖÜ äöü ß"]
)  # fmt: skip
TEXT = st.lists(LINES, max_size=30).flatmap(
    lambda lines: st.sampled_from(["\n", "\r\n", "\r"]).map(lambda end: end.join(lines))
)
SPACE = " \t\r\n"


def edges_of(texts: list[str], sources: list[str] | None = None) -> dict[str, dict[str, Line]]:
    series = pl.Series(texts, dtype=pl.String)
    names = pl.Series(sources or ["docs"] * len(texts), dtype=pl.String)
    return edge_lines(*text_buffers(series), names, np.ones(len(texts), np.bool_))


def plain(line: str) -> str:
    return re.sub("[ \t]+", " ", line.strip(SPACE))


def by_the_book(text: str) -> set[str]:
    lines = [line for line in map(plain, re.split("\r\n|[\r\n]", text)) if line]
    edges = lines[:8] + lines[8:][-8:]

    def is_candidate(line: str) -> bool:
        letters = sum((character.isascii() and character.isalpha()) or not character.isascii() for character in line)
        others = sum(character.isascii() and not character.isalpha() and character != " " for character in line)
        return not line.startswith(("#", "|", ".. ")) and letters > others

    return {line for line in edges if is_candidate(line)}


@settings(deadline=None)  # the first one compiles
@given(st.lists(TEXT, max_size=8))
def test_a_line_is_counted_once_for_each_document_that_has_it_at_an_edge(texts):
    found = {plain(line.text): line.documents for line in edges_of(texts).get("docs", {}).values()}
    every = [by_the_book(text) for text in texts]
    counts = {line: sum(line in each for each in every) for line in set().union(*every)}
    assert found == {line: count for line, count in counts.items() if count > 1}


def test_each_source_has_its_own_lines_and_rare_ones_are_not_kept():
    texts = [f"Text number {n} of {n * n} words\n{FOOTER}\n" for n in range(4)] + ["another one here", "something else"]
    assert list(edges_of(texts, ["a"] * 4 + ["b"] * 2)) == ["a"]
    many = [f"Text number {n}\n" + (FOOTER if n < 2 else "") for n in range(101)]
    assert edges_of(many) == {}
    assert [line.documents for line in edges_of(many[:100])["docs"].values()] == [2]


def test_what_is_boilerplate_is_said_by_the_limits():
    lines = {"a": Line(25, FOOTER), "b": Line(24, FOOTER), "c": Line(99, "short"), "d": Line(30, FOOTER)}
    limits = Boilerplate(min_documents=20, min_share=0.1, min_characters=20)
    assert list(chosen(lines, 250, limits)) == ["d", "a"]
    assert list(chosen(lines, 100, limits)) == ["d", "a", "b"]
    assert list(chosen(lines, 100, Boilerplate(min_documents=26))) == ["d"]
    assert list(chosen(lines, 100, Boilerplate(min_characters=5))) == ["c", "d", "a", "b"]


def remove(texts: list[str], marks: list[list[str]]) -> tuple[list[str], list[int]]:
    data, offsets = text_buffers(pl.Series(texts, dtype=pl.String))
    hashes = np.array([int(mark, 16) for each in marks for mark in sorted(each)], np.uint64)
    ends = np.cumsum([0, *map(len, marks)], dtype=np.int64)
    out, stops, lost = without(data, offsets, hashes, ends[:-1], ends[1:])
    return [out[a:b].tobytes().decode() for a, b in pairwise(stops)], lost.tolist()


@settings(deadline=None)  # the first one compiles
@given(st.lists(TEXT, min_size=1, max_size=6))
def test_chosen_lines_go_and_all_others_stay_as_they_are(texts):
    marks = [mark for mark, line in edges_of([FOOTER, FOOTER])["docs"].items()]
    out, lost = remove(texts, [marks if row % 2 == 0 else [] for row in range(len(texts))])
    for row, text in enumerate(texts):
        lines = re.findall("[^\r\n]*(?:\r\n|[\r\n]|$)", text)
        stay = [line for line in lines if plain(line) != FOOTER or row % 2]
        assert out[row] == "".join(stay)
        assert lost[row] == len(lines) - len(stay)


@pytest.mark.parametrize("name", ["statutes_de", "techdoc_en_python", "techdoc_en_postgresql", "novels_en"])
def test_no_sentence_of_real_text_is_taken_for_boilerplate(shared_data, name):
    texts = pl.read_ndjson(shared_data / f"{name}.jsonl.gz")["text"]
    found = edge_lines(*text_buffers(texts), pl.Series(["docs"] * len(texts)), np.ones(len(texts), np.bool_))
    assert chosen(found.get("docs", {}), len(texts), Boilerplate()) == {}
