"""Clean documents: one form of a text, and published rules at their thresholds."""

import pytest

from tasks.big_data import documents
from tasks.big_data.clean import Treatment, work
from tasks.big_data.language import Expected
from tasks.params import Clean
from tasks.report import StepError
from tests.tasks_rows import one_row

PROSE = "".join(f"Line {n} has pump {7 * n}, valve {11 * n} and belt {13 * n} of shift {17 * n}.\n" for n in range(20))


def judge(text: str) -> str | list[str]:
    """The text as it goes on, or the reasons against it."""
    return one_row(work, Clean(), text, extra=(Treatment("docs", "prose", Expected(), ()),))


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


GERMAN = """Die Pumpe ist undicht und wurde vom Mechaniker für die Frühschicht getauscht. Die Größe der Dichtung
wurde geprüft: 20 µm – „wie neu“. Danach lief die Anlage ohne Störung, bis am Abend der Kühlkreislauf überhitzte. Über
die Ursache wird noch beraten.
"""
FRENCH = """La pompe fuit et le mécanicien l'a remplacée pendant la nuit, puis il a vérifié la pression du circuit. Le
matin suivant, la ligne a redémarré sans incident, mais le capteur de température doit encore être étalonné avant la fin
de la semaine.
"""


def languages(workspace) -> dict[str, str]:
    return dict(documents.read(workspace.out("clean"), ["uri", "language"]).iter_rows())


def test_each_document_has_its_language_and_code_has_none(workspace):
    workspace.put("ingest", {"docs/a.txt": PROSE, "docs/b.txt": GERMAN, "docs/c.txt": FRENCH})
    report = workspace.run("clean")
    assert languages(workspace) == {"docs/a.txt": "en", "docs/b.txt": "de", "docs/c.txt": "fr"}
    assert report.facts["languages"] == {"docs": {"de": 1, "en": 1, "fr": 1}}
    workspace.set(clean={"preset": "code"})
    workspace.run("clean")
    assert set(languages(workspace).values()) == {""}


def test_documents_in_other_languages_are_dropped_and_counted(workspace):
    workspace.put("ingest", {"docs/a.txt": PROSE, "docs/b.txt": GERMAN, "docs/c.txt": FRENCH})
    workspace.set(clean={"languages": ["de", "en"]})
    report = workspace.run("clean")
    assert workspace.reasons("clean") == {"docs/c.txt": ["other_language:fr"]}
    assert report.reasons == {"other_language": 1}
    assert report.facts["rules"] == {"other_language": "clean.languages = de en"}
    assert report.facts["languages"]["docs"]["fr"] == 1


def test_a_source_is_taken_at_its_word_about_its_language(workspace):
    workspace.put("ingest", {"docs/a.txt": GERMAN})
    table = documents.read(workspace.out("ingest")).with_columns(language=documents.pl.lit("lb"))
    documents.write_all(workspace.out("ingest"), table, documents.REJECTED_SCHEMA.to_frame())
    workspace.run("clean")
    assert languages(workspace) == {"docs/a.txt": "lb"}


def test_mojibake_is_repaired_and_counted_but_not_in_code(workspace):
    damaged = GERMAN.encode().decode("cp1252")
    workspace.put("ingest", {"docs/a.txt": damaged, "docs/b.txt": GERMAN, "docs/c.txt": PROSE})
    report = workspace.run("clean")
    assert workspace.texts("clean") == {"docs/a.txt": GERMAN, "docs/b.txt": GERMAN, "docs/c.txt": PROSE}
    assert report.facts["mojibake_repaired"] == 1
    for given in ({"preset": "code"}, {"repair_mojibake": False}):
        workspace.set(clean=given)
        assert workspace.run("clean").facts["mojibake_repaired"] == 0
        assert workspace.texts("clean")["docs/a.txt"] == damaged
        workspace.values["clean"] = {}


FOOTER = "This message of ACME, ask jane.doe@corp.de, is confidential."


def test_lines_that_many_documents_end_with_are_removed_counted_and_not_shown_with_names(workspace):
    letters = {f"docs/{n}.txt": PROSE.replace("Line", f"Line {n} of") + FOOTER + "\n" for n in range(20)}
    workspace.put("ingest", {**letters, "docs/x.txt": PROSE})
    report = workspace.run("clean")
    assert workspace.texts("clean") == {uri: text.replace(FOOTER + "\n", "") for uri, text in letters.items()} | {
        "docs/x.txt": PROSE
    }
    assert report.facts["boilerplate"] == {"docs": ["This message of ACME, ask <EMAIL>, is co (20 documents)"]}
    assert report.facts["boilerplate_lines"] == {"docs": 20}
    for given in ({"boilerplate": {"remove": False}}, {"boilerplate": {"min_documents": 21}}, {"preset": "notes"}):
        workspace.values["clean"] = given
        workspace.run("clean")
        assert workspace.texts("clean") == {**letters, "docs/x.txt": PROSE}
