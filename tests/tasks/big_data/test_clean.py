"""Clean documents: one form of a text, and published rules at their thresholds."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.big_data.clean import normalise, work
from tasks.big_data.kinds import Choice
from tasks.params import Clean
from tasks.report import StepError
from tests.tasks_rows import one_row

PROSE = "".join(f"Line {n} has pump {7 * n}, valve {11 * n} and belt {13 * n} of shift {17 * n}.\n" for n in range(20))
LIMITS = Clean().thresholds("prose")


def judge(text: str) -> str | list[str]:
    """The text as it goes on, or the reasons against it."""
    return one_row(work, {"docs": Choice("prose", "", LIMITS)}, text)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        ("a\x85b\u2028c\u2029d", "a\nb\nc\nd"),
        ("page one\x0c\npage two\x0cpage three", "page one\npage two\npage three"),
        ("\ufeffa\x00b\x1b[0mc\x7f\x9f", "ab[0mc"),
        ("e\u0301", "é"),
        ("a \t\nb\t", "a\nb"),
        ("\n\n a\n\n\n", " a\n"),
        ("tab\tstays", "tab\tstays"),
        (" \n\t\r\n", ""),
    ],
)
def test_one_form_of_a_text(raw, clean):
    assert normalise(raw, suffix=".txt") == clean


@pytest.mark.parametrize("suffix", [".md", ".py", ".jsonl"])
def test_white_space_that_may_mean_something_stays(suffix):
    assert normalise("a  \nb\n", suffix=suffix) == "a  \nb\n"


@given(st.text(), st.sampled_from([".txt", ".md"]))
def test_a_normal_form_stays_as_it_is(text, suffix):
    once = normalise(text, suffix=suffix)
    assert normalise(once, suffix=suffix) == once
    assert unicodedata.is_normalized("NFC", once)


def test_a_good_text_is_kept():
    assert judge(PROSE) == PROSE


def test_all_rules_that_are_against_a_text_are_named():
    reasons = ["few_letters", "few_alphabetic_words", "repeated_lines", "repeated_line_characters", "repeated_ngrams"]
    assert judge("++\n" * 20) == ["too_short", *reasons]


def test_dropped_documents_stay_as_they_came_and_the_report_says_which_limit(workspace):
    workspace.put("ingest", {"docs/a.txt": PROSE.replace("\n", "\r\n"), "docs/b.txt": "short\r\n"})
    workspace.set(clean={"preset": "prose"})
    report = workspace.run("clean")
    assert workspace.texts("clean") == {"docs/a.txt": PROSE}
    assert workspace.reasons("clean") == {"docs/b.txt": ["too_short"]}
    assert report.facts["rules"] == {"too_short": "clean.min_characters = 64"}
    assert report.facts["documents_changed"] == 1
    assert report.summary == "1 of 2 documents; 1 rejected: too_short 1; rules for prose"


def test_when_every_document_goes_the_limits_are_named(workspace):
    workspace.put("ingest", {f"docs/{n}": f"fix pump {n}" for n in range(5)})
    workspace.set(clean={"preset": "prose"})
    with pytest.raises(StepError, match=r"all 5 were dropped: too_short \(clean.min_characters = 64\) 5; the rules"):
        workspace.run("clean")
    workspace.set(clean={"min_characters": 5})
    assert workspace.run("clean").rows_out == 5


def test_when_most_documents_go_it_is_said(workspace, caplog):
    workspace.put("ingest", {"docs/a": PROSE, "docs/b": "short", "docs/c": "shorter"})
    workspace.set(clean={"preset": "prose"})
    workspace.run("clean")
    assert "2 of 3 documents were dropped: too_short (clean.min_characters = 64) 2" in caplog.text


def test_a_folder_with_an_empty_and_a_binary_file_lists_both(workspace):
    workspace.file("docs/a.txt", PROSE)
    workspace.file("docs/b.txt", b"\x89PNG\r\n\x1a\n\0\0")
    workspace.file("docs/c.txt", "")
    workspace.run("discover", "ingest", "clean")
    assert workspace.texts("clean") == {"docs/a.txt": PROSE}
    assert workspace.reasons("ingest") == {"docs/b.txt": ["binary"]}
    assert workspace.reasons("clean") == {"docs/c.txt": ["too_short"]}


def test_when_no_document_has_text_it_is_said(workspace):
    workspace.put("ingest", {"docs/a": "", "docs/b": " \n"})
    with pytest.raises(StepError, match=r"all 2 were dropped: .*no document has text \(docs\)"):
        workspace.run("clean")
