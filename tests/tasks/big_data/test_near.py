"""Near copies of real text: found where they are alike, kept where they are not, and no night changes the result."""

import random

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasks.big_data import documents, near, paragraphs
from tasks.big_data.documents import REJECTED_SCHEMA, SCHEMA, Sifted, document_id
from tasks.big_data.keepers import merits
from tasks.big_data.sketches import WORDS
from tasks.report import Report
from tests.tables import Document

TOPICS = ("pump", "valve", "größe", "invoice", "漢字")


def sentences(topic: str, number: int) -> str:
    """The same words for the same arguments."""
    draw = random.Random(f"{topic} {number}")
    return " ".join(f"{topic}{draw.randrange(500)}" for _ in range(40))


def text_of(topic: str, parts: tuple[int, ...]) -> str:
    return "\n\n".join(sentences(topic, part) for part in parts)


def put(workspace, texts: dict[str, str]) -> None:
    """A table of several shards, by the first letter of the uri; the order within is that of `texts`."""
    made, out = [], workspace.out("privacy")
    for name in sorted({uri[0] for uri in texts}):
        rows = [
            Document(document_id(uri), uri, "docs", uri, "MIT", "", "", text, documents.digest_of(text))
            for uri, text in texts.items()
            if uri[0] == name
        ]
        frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
        shard, files = documents.files_of(name, Sifted(frame, REJECTED_SCHEMA.to_frame()))
        out.mkdir(parents=True, exist_ok=True)
        for file, data in files.items():
            (out / file).write_bytes(data)
        made.append(shard)
    documents.write_index(out, made)
    workspace.out("discover").mkdir(parents=True, exist_ok=True)
    workspace.put_evaluations({"evaluation.jsonl": [sentences("invoice", 9)]})


URIS = st.tuples(st.sampled_from("abc"), st.integers(0, 5)).map(lambda drawn: f"{drawn[0]}/{drawn[1]}")
TEXT = st.builds(text_of, st.sampled_from(TOPICS), st.lists(st.integers(0, 9), min_size=1, max_size=6).map(tuple))
CORPUS = st.dictionaries(URIS, TEXT, min_size=1, max_size=14)
SLOW = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
FAMILY = {f"a/{n}": text_of("pump", tuple(range(6)) + (n,) * 2) for n in range(9)}


@SLOW
@given(st.lists(CORPUS, min_size=2, max_size=4))
@example([FAMILY, {**FAMILY, "b/1": text_of("pump", (0, 1, 2))}, dict(list(FAMILY.items())[3:])])
def test_a_night_leaves_the_same_bytes_as_a_run_from_nothing(make_workspace, nights):
    kept = make_workspace()
    for texts in nights:
        fresh = make_workspace()
        for workspace in (kept, fresh):
            workspace.set(dedup={"min_jaccard": 0.6, "min_block_bytes": 150})
            put(workspace, texts)
            report = workspace.run("dedup")
        assert kept.bytes_of("dedup") == fresh.bytes_of("dedup")
        assert report.rows_in == report.rows_out + report.rows_rejected == len(texts)


@SLOW
@given(CORPUS, st.randoms())
@example(FAMILY, random.Random(1))
def test_no_order_changes_what_goes(make_workspace, texts, shuffle):
    left = []
    for given_texts in (texts, dict(shuffle.sample(list(texts.items()), len(texts)))):
        workspace = make_workspace()
        workspace.set(dedup={"min_jaccard": 0.6, "min_block_bytes": 150})
        put(workspace, given_texts)
        workspace.run("dedup")
        left.append((workspace.texts("dedup"), workspace.reasons("dedup"), workspace.held_out()))
    assert left[0] == left[1]


@SLOW
@given(CORPUS)
@example(FAMILY)
def test_what_goes_is_as_near_to_what_stays_as_was_asked(make_workspace, texts):
    def grams(text):
        words = text.split()
        return set(zip(*(words[i:] for i in range(5)), strict=False))

    workspace = make_workspace()
    workspace.set(dedup={"min_jaccard": 0.6, "min_block_bytes": 0})
    put(workspace, {uri: text.replace("漢字", "kanji") for uri, text in texts.items()})
    workspace.run("dedup")
    kept = workspace.texts("dedup")
    ids = {document_id(uri): grams(text) for uri, text in kept.items()}
    held_out = workspace.held_out()
    for uri, (reason,) in workspace.reasons("dedup").items():
        word, _, by = reason.partition(":")
        if word == "contaminated":
            continue
        mine, other = grams(texts[uri].replace("漢字", "kanji")), ids[by]
        assert len(mine & other) >= 0.6 * len(mine | other)
        assert (word == "near_copy_of_held_out") == (by in held_out and document_id(uri) not in held_out) or (
            word != "near_copy_of_held_out" and by in held_out
        )


def comparisons(monkeypatch) -> list[int]:
    """Numbers of pairs that are compared from now on."""
    compared, shared_grams = [], near.shared_grams

    def counted(found, ends, first, second):
        compared.append(len(first))
        return shared_grams(found, ends, first, second)

    monkeypatch.setattr(near, "shared_grams", counted)
    return compared


def test_only_pairs_that_no_run_knew_are_compared(workspace, monkeypatch):
    compared = comparisons(monkeypatch)
    put(workspace, FAMILY)
    workspace.run("dedup")
    assert sum(compared) >= 36
    compared.clear()
    put(workspace, {**FAMILY, "b/1": text_of("valve", (1, 2))})
    workspace.run("dedup")
    assert compared == []
    put(workspace, {**FAMILY, "b/1": text_of("pump", (*range(6), 9, 9))})
    workspace.run("dedup")
    assert 0 < sum(compared) <= 9


def test_how_many_pairs_are_held_at_once_changes_nothing(make_workspace, monkeypatch):
    found = []
    for held in (1, near._HELD_PAIRS):
        monkeypatch.setattr(near, "_HELD_PAIRS", held)
        workspace = make_workspace()
        put(workspace, FAMILY)
        workspace.run("dedup")
        found.append(workspace.bytes_of("dedup"))
    assert found[0] == found[1]


def test_texts_are_those_of_their_rows_even_where_an_id_comes_twice(workspace):
    put(workspace, FAMILY)
    file = workspace.out("privacy") / documents.part("a")
    ids = pl.read_parquet(file, columns=["id"], glob=False)["id"]
    rows = np.array([1, 4])
    expected = near._grams_of(near._Task(file, rows, tuple(ids.gather(rows))))
    assert len(expected[1]) == 3
    frame = pl.read_parquet(file, glob=False).with_columns(id=ids.replace(ids[7], ids[4]))
    found = near._grams_of(near._Task(bytes(documents.document_bytes(frame)), rows, tuple(ids.gather(rows))))
    assert all((one == other).all() for one, other in zip(found, expected, strict=True))


OWNED = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), max_size=20)


@given(OWNED, st.lists(st.integers(0, 2), min_size=7, max_size=7))
def test_the_best_document_keeps_a_block_of_those_as_good_the_first(found, merit):
    pairs = sorted(found)
    keys, places = (np.array([pair[side] for pair in pairs], np.int64) for side in (0, 1))
    owners = paragraphs._owners(places, keys.astype(np.uint64), np.array(merit, np.uint64))
    best = {key: min((merit[place], place) for other, place in pairs if other == key)[1] for key, _ in pairs}
    assert owners.tolist() == [best[key] for key, _ in pairs]


@pytest.mark.parametrize(("edited", "least"), [(2, 0.8), (5, 0.5)])
def test_edits_of_a_text_are_found(workspace, edited, least):
    draw, texts = random.Random(edited), {}
    for number in range(60):
        words = [f"word{draw.randrange(4000)}" for _ in range(300)]
        texts[f"a/{number}"] = " ".join(words)
        for place in draw.sample(range(300), 3 * edited):
            words[place] = f"other{draw.randrange(4000)}"
        texts[f"b/{number}"] = " ".join(words)
    workspace.set(dedup={"min_jaccard": least})
    put(workspace, texts)
    report = workspace.run("dedup")
    assert report.rows_rejected >= 58
    assert report.facts["near_groups"] == report.rows_rejected


def test_a_page_of_a_thousand_copies_is_not_compared_with_all_of_them(workspace, monkeypatch):
    compared = comparisons(monkeypatch)
    template = text_of("valve", (1, 2, 3))
    put(workspace, {f"a/{n}": f"{template} page {n}" for n in range(1000)})
    report = workspace.run("dedup")
    assert report.rows_out == 1
    assert sum(compared) < 28 * 8 * 1000 < 1000 * 999 / 2
    assert report.facts["group_sizes"] == {"1000": 1}


def test_notes_that_differ_in_a_number_stay(workspace):
    words = " ".join(f"word{n}" for n in range(100))
    put(workspace, {"a/1": f"{words} pump 17", "a/2": f"{words} pump 18"})
    workspace.out("clean").mkdir()
    presets = {"docs": "notes: half of the documents are short"}
    documents_report(presets).write(workspace.out("clean"))
    assert workspace.run("dedup").rows_rejected == 0
    documents_report({"docs": "code: endings"}).write(workspace.out("clean"))
    assert workspace.run("dedup").rows_rejected == 1


def documents_report(presets):
    return Report(step="clean", facts={"presets": presets})


def test_a_damaged_memory_is_as_if_it_were_not_there(workspace):
    put(workspace, FAMILY)
    workspace.run("dedup")
    before = workspace.bytes_of("dedup")
    (file,) = (workspace.settings().cache / "dedup").iterdir()
    data = bytearray(file.read_bytes())
    data[-20] ^= 1
    file.write_bytes(data)
    workspace.run("dedup")
    assert workspace.bytes_of("dedup") == before


def test_merit_is_by_side_then_length():
    class Two:
        def column(self, column):
            return np.array([5, 7, 9, 9], np.uint64) if column == WORDS else np.array([1, 2, 2**63, 2**62], np.uint64)

    assert np.argsort(merits(Two(), np.array([1, 2, 2, 2], np.uint8))).tolist() == [0, 3, 2, 1]
