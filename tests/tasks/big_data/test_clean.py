"""Clean documents: one form of a text, and published rules at their thresholds."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.big_data import documents
from tasks.big_data.clean import Treatment, work
from tasks.big_data.language import Expected
from tasks.report import StepError
from tasks.thresholds import Clean
from tests.tables import one_row, write_all

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
    write_all(workspace.out("ingest"), table, documents.REJECTED_SCHEMA.to_frame())
    workspace.run("clean")
    assert languages(workspace) == {"docs/a.txt": "lb"}


def test_mojibake_is_repaired_and_counted_but_not_in_code(workspace):
    damaged = GERMAN.encode().decode("cp1252")
    workspace.put("ingest", {"docs/a.txt": damaged, "docs/b.txt": GERMAN, "docs/c.txt": PROSE})
    report = workspace.run("clean")
    assert workspace.texts("clean") == {"docs/a.txt": GERMAN, "docs/b.txt": GERMAN, "docs/c.txt": PROSE}
    assert report.facts["mojibake_repaired"] == 1
    for said in ({"preset": "code"}, {"repair_mojibake": False}):
        workspace.set(clean=said)
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
    for said in ({"boilerplate": {"remove": False}}, {"boilerplate": {"min_documents": 21}}, {"preset": "notes"}):
        workspace.values["clean"] = said
        workspace.run("clean")
        assert workspace.texts("clean") == {**letters, "docs/x.txt": PROSE}


LINES = st.sampled_from(
    ["", "Page of a manual of the plant", FOOTER, "fÃ¼r die Pumpe", "für die Pumpe", "e\u0301\r", "\x00", "text \t",
     *GERMAN.split("\n")]
)  # fmt: skip
DOCUMENT = st.tuples(
    st.sampled_from(["a", "b"]), st.sampled_from([".txt", ".md", ".py"]), st.lists(LINES, max_size=12).map("\n".join)
)


def shards(workspace, parts: list[list[int]], drawn: list[tuple[str, str, str]]) -> None:
    """An output of `ingest`: in each part the documents of these numbers."""
    index = []
    for name, numbers in enumerate(parts):
        rows = []
        for number in numbers:
            source, suffix, text = drawn[number]
            uri = f"{source}/{number}{suffix}"
            digest = documents.digest_of(text)
            rows.append((documents.document_id(uri), uri, source, uri, "MIT", "", "", text, digest))
        table = documents.pl.DataFrame(rows, schema=documents.SCHEMA, orient="row")
        write_all(workspace.out("ingest"), table, documents.REJECTED_SCHEMA.to_frame(), name=str(name))
        index += documents.read_index(workspace.out("ingest"))
    documents.write_index(workspace.out("ingest"), index)


def cleaned(workspace) -> tuple[documents.pl.DataFrame, documents.pl.DataFrame]:
    return documents.read(workspace.out("clean")).sort("id"), documents.read_rejected(workspace.out("clean")).sort("id")


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(DOCUMENT, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_nothing_is_lost_and_neither_order_nor_memory_changes_anything(make_workspace, drawn, shuffle):
    limits = {"min_characters": 5, "languages": ["de"], "boilerplate": {"min_documents": 2, "min_share": 0.2}}
    numbers = list(range(len(drawn)))
    shuffle.shuffle(numbers)
    cut = len(numbers) // 2
    found = []
    first, second = numbers[:cut], numbers[cut:]
    for parts in ([first, second], [sorted(second), first]):
        workspace = make_workspace()
        workspace.set(clean=limits, discover={"sources": ["a", {"uri": "b", "kind": "prose"}]})
        shards(workspace, parts, drawn)
        try:
            report = workspace.run("clean")
        except StepError:
            assert not found
            return
        assert report.rows_in == report.rows_out + report.rows_rejected == len(drawn)
        kept, dropped = cleaned(workspace)
        assert sorted([*kept["id"], *dropped["id"]]) == sorted(documents.read(workspace.out("ingest"))["id"])
        assert all(documents.digest_of(text) == digest for text, digest in kept.select("text", "digest").iter_rows())
        came = {drawn_text for _, _, drawn_text in drawn}
        assert set(dropped["text"]) <= came
        once = workspace.bytes_of("clean")
        workspace.run("clean")
        assert workspace.bytes_of("clean") == once
        workspace.run("clean", cache=workspace.root / "another", data_engine="one")
        assert workspace.bytes_of("clean") == once
        found.append((kept, dropped))
    assert all(kept.equals(found[0][0]) and dropped.equals(found[0][1]) for kept, dropped in found)


def test_a_new_source_does_not_touch_the_shards_of_others(workspace):
    drawn = [("a", ".txt", PROSE + FOOTER), ("a", ".txt", GERMAN), ("b", ".txt", FRENCH)]
    workspace.set(discover={"sources": ["a", "b"]})
    shards(workspace, [[0, 1]], drawn)
    workspace.run("clean")
    kept = set((workspace.root / ".abcd/cache/shards/clean").iterdir())
    shards(workspace, [[0, 1], [2]], drawn)
    workspace.run("clean")
    assert kept < set((workspace.root / ".abcd/cache/shards/clean").iterdir())
    assert len(set((workspace.root / ".abcd/cache/shards/clean").iterdir())) == len(kept) + 1
