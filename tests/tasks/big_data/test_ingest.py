"""Sources become documents: exactly the manifest's bytes, each file read once, nothing lost."""

import gzip
import json
import shutil

import pytest

from tasks.big_data import documents, ingest, layout, reading
from tasks.report import StepError

TEXT = "A text of some length, with a full stop at its end.\n"


def test_files_and_rows_become_documents_with_id_group_and_licence(workspace):
    workspace.set(discover={"sources": ["docs", "log.jsonl"]}, ingest={"licence": "MIT"})
    workspace.file("docs/a.txt", "one")
    workspace.file("docs/sub/b.md", "two")
    workspace.file("docs/sub/c.jsonl", '{"text": "three"}\n\n{"text": "four"}\n')
    workspace.file("log.jsonl", '{"text": "five"}\n')
    report = workspace.run("discover", "ingest")

    table = documents.read(workspace.out("ingest")).sort("uri")
    assert table.select("uri", "source", "group", "text").rows() == [
        ("docs/a.txt", "docs", "docs/a.txt", "one"),
        ("docs/sub/b.md", "docs", "docs/sub", "two"),
        ("docs/sub/c.jsonl#1", "docs", "docs/sub", "three"),
        ("docs/sub/c.jsonl#3", "docs", "docs/sub", "four"),
        ("log.jsonl#1", "log.jsonl", "log.jsonl#1", "five"),
    ]
    assert table["id"].to_list() == [documents.document_id(uri) for uri in table["uri"]]
    assert table["digest"].to_list() == [documents.digest_of(text) for text in table["text"]]
    assert set(table["licence"]) == {"MIT"}
    assert report.rows_in == report.rows_out == 5
    assert report.facts["sources_read"]["docs"] == {"documents": 4, "rejected": 0, "characters": 15}


def test_the_licence_of_the_standard_library_is_known_unless_said(workspace):
    assert reading.licence_of(workspace.params.source("python:stdlib")) == "PSF-2.0"
    workspace.set(ingest={"licence": "MIT"})
    assert reading.licence_of(workspace.params.source("python:stdlib")) == "MIT"


def test_unreadable_sources_are_listed_and_the_run_goes_on(workspace):
    workspace.file("docs/a.txt", TEXT)
    workspace.file("docs/b.txt", b"\x89PNG\x00")
    workspace.file("docs/c.txt.gz", gzip.compress(TEXT.encode())[:20])
    workspace.file("docs/d.jsonl", '{"text": "row"}\n{"text": \n')
    report = workspace.run("discover", "ingest")

    assert workspace.texts("ingest") == {"docs/a.txt": TEXT, "docs/d.jsonl#1": "row"}
    assert workspace.reasons("ingest") == {
        "docs/b.txt": ["binary"],
        "docs/c.txt.gz": ["corrupt_gzip"],
        "docs/d.jsonl#2": ["broken_json"],
    }
    assert report.facts["unreadable"] == {"docs/b.txt": "binary", "docs/c.txt.gz": "corrupt_gzip"}
    assert (report.rows_in, report.rows_out, report.rows_rejected) == (5, 2, 3)
    assert report.reasons == {"binary": 1, "broken_json": 1, "corrupt_gzip": 1}


def test_nothing_readable_is_an_error(workspace):
    workspace.file("docs/a.txt", b"\x00")
    workspace.file("docs/b.jsonl", "broken\n")
    with pytest.raises(StepError, match=r"text in 2 sources, found none that can be read: binary 1, broken_json 1"):
        workspace.run("discover", "ingest")
    assert not workspace.out("ingest").exists()


def test_a_missing_text_column_is_an_error_that_names_the_others(workspace):
    workspace.file("docs/a.jsonl", json.dumps({"raw": "x", "norm": "y", "n": 1}))
    with pytest.raises(StepError, match=r"a\.jsonl: expected a column 'text'.*hold text: raw, norm;.*text_column"):
        workspace.run("discover", "ingest")
    workspace.set(ingest={"text_column": "raw"})
    workspace.run("ingest")
    assert workspace.texts("ingest") == {"docs/a.jsonl#1": "x"}


def test_a_text_column_without_text_is_an_error_that_names_the_others(workspace):
    workspace.file("docs/a.jsonl", json.dumps({"raw": "x", "n": 1}))
    workspace.set(ingest={"text_column": "n"})
    with pytest.raises(StepError, match=r"column 'n' .*found one that holds no text in any row;.*hold text: raw;"):
        workspace.run("discover", "ingest")


def test_a_table_without_rows_is_said(workspace):
    workspace.file("docs/a.jsonl", "")
    with pytest.raises(StepError, match=r"found none that can be read: no_rows 1; the first is docs/a\.jsonl"):
        workspace.run("discover", "ingest")


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("change", ["other text", "gone"])
def test_a_source_that_changed_since_discover_is_refused(workspace, warm, change):
    path = workspace.file("docs/a.txt", "first text")
    workspace.run("discover")
    if warm:
        workspace.run("ingest")
    path.unlink()
    if change != "gone":
        path.write_text(change)
    with pytest.raises(StepError, match=r"docs/a\.txt: changed since discover: .*`abcd discover`.*`dvc pull`"):
        workspace.run("ingest")


@pytest.fixture
def lone_files(monkeypatch):
    """Every file is a group by itself, as large ones are."""
    monkeypatch.setattr(layout, "_MEAN_BYTES", 1)


@pytest.mark.usefixtures("lone_files")
def test_unchanged_files_are_never_read_twice(workspace, monkeypatch):
    workspace.file("docs/a.txt", TEXT)
    workspace.file("docs/b.jsonl", '{"text": "row"}\n')
    workspace.run("discover", "ingest")
    before = workspace.bytes_of("ingest")

    read = []
    real = reading.read_batches

    def watched(file, **options):
        read.append(options["name"])
        return real(file, **options)

    monkeypatch.setattr(reading, "read_batches", watched)
    workspace.run("ingest")
    assert read == []
    assert workspace.bytes_of("ingest") == before

    workspace.file("docs/c.txt", "new")
    workspace.run("discover", "ingest", discover=True)
    assert read == ["docs/c.txt"]
    workspace.set(ingest={"text_column": "other"})
    with pytest.raises(StepError):
        workspace.run("ingest")
    assert "docs/b.jsonl" in read[1:]


def test_an_incremental_run_gives_the_bytes_of_a_run_from_nothing(workspace, make_workspace):
    other = make_workspace()
    for each in (workspace, other):
        for name in "abcdefgh":
            each.file(f"docs/{name}.txt", TEXT * (ord(name) - 90))
        each.file("docs/z.jsonl", '{"text": "row"}\nbroken\n')
    workspace.run("discover", "ingest")
    for each in (workspace, other):
        each.file("docs/i.txt", "new")
        (each.root / "docs/c.txt").unlink()
        each.file("docs/d.txt", "changed")
    workspace.run("discover", "ingest", discover=True)
    other.run("discover", "ingest")
    assert workspace.bytes_of("ingest") == other.bytes_of("ingest")


@pytest.mark.parametrize("flipped", [False, True])
def test_a_broken_memory_is_removed_and_said(workspace, caplog, flipped):
    workspace.file("docs/a.txt", TEXT)
    workspace.run("discover", "ingest")
    before = workspace.bytes_of("ingest")
    (memory,) = (workspace.settings().cache / "shards" / "ingest").glob("*/0")
    kept = memory.read_bytes()
    memory.unlink()  # the output is a link to it
    memory.write_bytes(kept[:50] + bytes([kept[50] ^ 1]) + kept[51:] if flipped else kept[:100])
    workspace.run("ingest")
    assert workspace.bytes_of("ingest") == before
    assert "was damaged" in caplog.text
    assert memory.read_bytes() == kept


def test_a_large_file_is_several_shards(workspace, monkeypatch):
    monkeypatch.setattr(documents, "SHARD_BYTES", 1000)
    workspace.file("docs/a.jsonl", "".join(json.dumps({"text": f"{n} {TEXT}"}) + "\n" for n in range(100)))
    report = workspace.run("discover", "ingest")
    shards = documents.read_index(workspace.out("ingest"))
    assert len(shards) > 4
    assert sum(shard.rows for shard in shards) == report.rows_out == 100
    assert documents.read(workspace.out("ingest"))["uri"].to_list() == [f"docs/a.jsonl#{n + 1}" for n in range(100)]


def test_each_source_has_its_own_column_licence_and_language(workspace):
    workspace.file("a.jsonl", '{"raw": "one", "text": "wrong"}\n')
    workspace.file("b.jsonl", '{"text": "two"}\n')
    workspace.set(
        discover={"sources": [{"uri": "a.jsonl", "text": "raw", "licence": "MIT", "language": "de"}, "b.jsonl"]},
        ingest={"licence": "CC0-1.0"},
    )
    workspace.run("discover", "ingest")
    rows = documents.read(workspace.out("ingest"), ["uri", "text", "licence", "language"]).sort("uri").rows()
    assert rows == [("a.jsonl#1", "one", "MIT", "de"), ("b.jsonl#1", "two", "CC0-1.0", "")]


@pytest.mark.parametrize("packed", [False, True])
def test_a_large_file_is_read_in_parts_and_gives_the_same_documents(workspace, make_workspace, monkeypatch, packed):
    lines = [json.dumps({"text": f"{n} {TEXT}"}) if n % 50 else "broken" for n in range(1000)]
    content = "\n".join(lines).encode()
    other = make_workspace()
    for each in (workspace, other):
        each.file(
            "docs/a.jsonl.gz" if packed else "docs/a.jsonl", gzip.compress(content, mtime=0) if packed else content
        )
    whole = other.run("discover", "ingest")
    monkeypatch.setattr(ingest, "SPAN_BYTES", 900)
    monkeypatch.setattr(documents, "SHARD_BYTES", 2000)
    report = workspace.run("discover", "ingest")
    assert (report.rows_out, report.reasons) == (whole.rows_out, whole.reasons)
    assert {name: fact for name, fact in report.facts.items() if name != "rejected_examples"} == {
        name: fact for name, fact in whole.facts.items() if name != "rejected_examples"
    }
    assert documents.read(workspace.out("ingest")).equals(documents.read(other.out("ingest")))
    assert len(documents.read_index(workspace.out("ingest"))) > 20
    before = workspace.bytes_of("ingest")
    monkeypatch.setattr(reading, "read_batches", None)  # all of it is remembered
    monkeypatch.setattr(ingest, "cut", None)  # where its parts begin, too
    workspace.run("ingest")
    assert workspace.bytes_of("ingest") == before


def test_a_large_file_without_the_text_column_is_refused(workspace, monkeypatch):
    monkeypatch.setattr(ingest, "SPAN_BYTES", 100)
    workspace.file("docs/a.jsonl", '{"other": "text"}\n' * 100)
    workspace.run("discover")
    for _ in range(2):  # also when all of its parts are remembered
        with pytest.raises(StepError, match=r"docs/a.jsonl: expected a column 'text'.*columns that hold text: other"):
            workspace.run("ingest")


def test_a_part_without_texts_is_no_reason_to_refuse_a_file_that_has_some(workspace, monkeypatch):
    monkeypatch.setattr(ingest, "SPAN_BYTES", 100)
    lines = ['{"text": "some words that are text"}'] * 20 + ['{"other": "words that are none"}'] * 20
    workspace.file("docs/a.jsonl", "\n".join(lines))
    before = workspace.run("discover", "ingest")
    assert (before.rows_out, before.rows_rejected) == (20, 20)
    notes = (workspace.settings().cache / "shards" / "ingest").glob("*/entry.json")
    textless = [note.parent for note in notes if b'"rows_out": 0' in note.read_bytes()]
    assert textless
    for folder in textless:
        shutil.rmtree(folder)
    again = workspace.run("ingest")
    assert (again.rows_out, again.rows_rejected) == (20, 20)


def test_what_later_steps_are_told_of_a_source_is_no_reason_to_read_it_again(workspace, monkeypatch):
    workspace.file("docs/a.txt", TEXT)
    workspace.run("discover", "ingest")
    monkeypatch.setattr(reading, "read_batches", None)
    workspace.set(discover={"sources": [{"uri": "docs", "weight": 3, "kind": "notes"}]})
    workspace.run("discover", "ingest")
