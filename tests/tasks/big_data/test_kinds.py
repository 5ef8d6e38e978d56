"""A source is prose, code or notes by its own documents; a preset or a threshold that was given comes first."""

import gzip
import json

import pytest

from tasks.big_data import documents
from tasks.big_data.clean import Treatment, work
from tasks.big_data.engine import InProcess
from tasks.big_data.kinds import Choice, choices, kind_of_text
from tasks.big_data.language import Expected
from tasks.big_data.survey import NOTE_CHARACTERS, Measures, measure, survey
from tasks.presets import CLEAN_PRESETS, TextKind
from tasks.thresholds import Clean
from tests.tables import Document, one_row, write_all

PROSE = "".join(f"Line {n} has pump {7 * n}, valve {11 * n} and belt {13 * n} of shift {17 * n}.\n" for n in range(20))
NOTE = "PH639 REPLACE AUTO GREASER UNIT"


def judge(text: str, kind: TextKind, uri: str) -> str | list[str]:
    return one_row(work, Clean(), text, extra=(Treatment("docs", kind, Expected(), ()),), uri=uri)


def chosen(workspace) -> dict[str, Choice]:
    measured, _ = survey(workspace.out("ingest"), workspace.settings(), InProcess())
    return choices(measured, workspace.params)


def put(workspace, texts: dict[tuple[str, str], str]) -> None:
    """A table made by ingest, from texts by source and uri."""
    rows = [
        Document(documents.document_id(uri), uri, source, uri, "MIT", "", "", text, documents.digest_of(text))
        for (source, uri), text in texts.items()
    ]
    table = documents.pl.DataFrame(rows, schema=documents.SCHEMA, orient="row")
    write_all(workspace.out("ingest"), table, documents.REJECTED_SCHEMA.to_frame())


@pytest.mark.parametrize(
    ("lengths", "kind"),
    [
        ({"a.py": 40, "b.py.gz": 50, "c.md": 9000}, "code"),
        ({"a.py": 4000, "b.md": 9000}, "prose"),  # half is not most
        ({"log.jsonl#1": 30, "log.jsonl#2": 20, "log.jsonl#3": 9000}, "notes"),
        ({"a.txt": NOTE_CHARACTERS - 1}, "notes"),
        ({"a.txt": NOTE_CHARACTERS}, "prose"),
        ({"a.txt": 20, "b.txt": 9000}, "notes"),  # the lower of two in the middle
        ({}, "prose"),
    ],
)
def test_endings_make_code_and_a_short_median_makes_notes(lengths, kind):
    rows = [("docs", uri, " " + "x" * length + "\n", "") for uri, length in lengths.items()]
    columns = {name: documents.SCHEMA[name] for name in ("source", "uri", "text", "digest")}
    frame = documents.pl.DataFrame(
        rows,
        schema=documents.pl.Schema(columns),
        orient="row",
    )
    assert kind_of_text(measure(frame).get("docs", Measures()))[0] == kind


def test_each_source_is_judged_by_its_own_documents(workspace):
    log = {("log.jsonl", f"log.jsonl#{n}"): f"{NOTE} {n}" for n in range(9)}
    books = {("books", f"books/{n}.txt"): PROSE for n in range(3)}
    put(workspace, {**log, **books, ("code", "code/a.py"): "import os\n" * 10, ("books", "books/empty.txt"): " \n"})
    together = chosen(workspace)
    assert {source: choice.kind for source, choice in together.items()} == {
        "books": "prose", "code": "code", "log.jsonl": "notes",
    }  # fmt: skip
    assert together["books"].why == "median length at least 300 characters"
    put(workspace, books)
    assert chosen(workspace)["books"] == together["books"]


def test_the_report_says_which_rules_each_source_got_and_where_they_differ(workspace):
    put(workspace, {
        ("log.jsonl", "log.jsonl#1"): NOTE, ("log.jsonl", "log.jsonl#2"): "BF079",
        ("books", "books/a.txt"): PROSE, ("books", "books/b.txt"): NOTE, ("books", "books/c.txt"): PROSE,
    })  # fmt: skip
    report = workspace.run("clean")
    assert set(workspace.texts("clean")) == {"log.jsonl#1", "books/a.txt", "books/c.txt"}
    assert report.facts["presets"] == {
        "books": "prose: median length at least 300 characters",
        "log.jsonl": "notes: median length 5 characters, below 300",
    }
    assert report.facts["rules"] == {"too_short": "clean.min_characters = 8 for notes, 64 for prose"}
    assert report.summary.endswith("rules for notes, prose")


def test_a_preset_that_is_given_is_for_all_sources(workspace):
    workspace.put("ingest", {"docs/a": NOTE, "docs/b": PROSE})
    workspace.set(clean={"preset": "prose"})
    report = workspace.run("clean")
    assert workspace.reasons("clean") == {"docs/a": ["too_short"]}
    assert report.facts["presets"] == {"docs": "prose: as clean.preset says"}


def test_a_threshold_that_is_given_comes_before_every_preset():
    given = Clean(min_characters=3, max_bullet_line_share=0.0)
    for kind, values in CLEAN_PRESETS.items():
        expected = {**values, "min_characters": 3, "max_bullet_line_share": 0.0}
        assert given.thresholds(kind).model_dump() == expected


@pytest.mark.parametrize(
    "text", ["- replace bucket teeth", "pump leaking again...", "ok now\nok now\nok now", "Oil leak"]
)
def test_what_is_no_document_of_prose_may_be_a_good_note(text):
    assert isinstance(judge(text, "prose", "log.jsonl#1"), list)
    assert judge(text, "notes", "log.jsonl#1") == text


@pytest.mark.parametrize(
    ("text", "prose", "code"),
    [
        ("def f() -> int: ...\ndef g() -> int: ...\ndef h() -> int: ...\nclass Any:\n    x = 1\n", list, str),
        ("".join(f" * parameter {n} of the function\n" for n in range(30)), list, str),
        ("\n".join(" ".join(f"and {31 * n + m} more" for m in range(25)) for n in range(9)), str, list),
    ],
)  # fmt: skip
def test_code_is_judged_as_code(text, prose, code):
    assert type(judge(text, "prose", "src/a.py")) is prose
    assert type(judge(text, "code", "src/a.py")) is code


def test_real_work_orders_are_kept(workspace, shared_data):
    """Measured on MaintNorm: what goes is asset numbers and cut words."""
    with gzip.open(shared_data / "maintnorm.jsonl.gz", "rt") as file:
        texts = [json.loads(line)["raw"] for line in file]
    workspace.put("ingest", {f"log.jsonl#{n}": text for n, text in enumerate(texts)})
    workspace.run("clean")
    dropped = documents.read_rejected(workspace.out("clean"))["text"]
    assert sorted(dropped) == ["20194", "25673", "CC0233", "EZ7111", "IT4005", "WK1566", "cyl oga", "modula"]


def test_a_kind_that_a_source_names_comes_before_the_preset_of_all(workspace):
    put(workspace, {("log.jsonl", "log.jsonl#1"): NOTE, ("books", "books/a.txt"): PROSE})
    workspace.set(discover={"sources": ["books", {"uri": "log.jsonl", "kind": "prose"}]}, clean={"preset": "notes"})
    assert {source: (choice.kind, choice.why) for source, choice in chosen(workspace).items()} == {
        "books": ("notes", "as clean.preset says"), "log.jsonl": ("prose", "as the source says"),
    }  # fmt: skip
