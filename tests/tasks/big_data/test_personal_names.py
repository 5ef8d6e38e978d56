"""A company's own list: what of it is found, that it decides the result, and that no message shows it."""

import pytest

from tasks.big_data.personal_names import Names, read_names
from tasks.big_data.personal_spans import Span, joined
from tasks.report import StepError

LIST = """text,kind,case_sensitive
Jane Doe,person,
Jane,person,
Doe & Söhne GmbH,company,no
KD-4711,customer_id,yes
Email,person,
İzmir,place,
"""


def found(text: str, names: str = LIST) -> str:
    for span in reversed(Names(read_names(names.encode(), "names.csv")).find(text)):
        text = f"{text[: span.start]}<{span.kind.upper()}>{text[span.end :]}"
    return text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("JANE DOE und jane, Janes Pumpe", "<PERSON> und <PERSON>, Janes Pumpe"),
        ("Jane\nDoe (Jane\u00a0Doe)", "<PERSON> (<PERSON>)"),
        ("an doe & söhne gmbh.", "an <COMPANY>."),
        ("KD-4711, kd-4711, KD-47110, xKD-4711", "<CUSTOMER_ID>, kd-4711, KD-47110, xKD-4711"),
        ("<EMAIL> an email", "<EMAIL> an <PERSON>"),
        ("İİ İzmir in İZMİR", "İİ <PLACE> in <PLACE>"),
        ("Jan und _jane_ und Mary-Jane", "Jan und _jane_ und Mary-<PERSON>"),
        ("", ""),
    ],
)
def test_entries_are_found_at_word_boundaries_the_longest_first(text, expected):
    assert found(text) == expected


def test_spans_that_overlap_become_one_so_that_no_part_is_left():
    email, name, number = Span(5, 20, "email"), Span(0, 9, "person"), Span(30, 40, "phone")
    assert joined([email, number], [name]) == [Span(0, 20, "email"), number]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            b"name,kind\nSecret,person\n",
            "names.csv: expected the columns text, kind[,case_sensitive] in its first line",
        ),
        (b"", "names.csv: expected the columns"),
        (b"text,kind\nSecret,per son\n", "names.csv, row 2: expected a kind of letters"),
        (b"text,kind\nSecret,person,x\n", "names.csv, row 2: expected as many values"),
        (b"text,kind\nSecret\n", "names.csv, row 2: expected as many values"),
        (b"text,kind,case_sensitive\nSecret,person,perhaps\n", "names.csv, row 2: expected true or false"),
        (b"text,kind\nS,person\n", "names.csv, row 2: expected a text of two characters or more"),
        (b"text,kind\nSecr\xe9t,person\n", "names.csv: expected a CSV file in UTF-8"),
        (b'text,kind\n"Secret,person\n', "names.csv: expected a CSV file in UTF-8"),
    ],
)
def test_a_broken_list_is_refused_without_showing_it(data, said):
    with pytest.raises(StepError) as error:
        read_names(data, "names.csv")
    assert str(error.value).startswith(said)
    assert "ecr" not in str(error.value)


def test_the_list_is_pinned_decides_the_result_and_is_shown_nowhere(workspace, caplog):
    workspace.file(
        "docs/a.txt", "Jane Doe prüfte die Pumpe am Morgen, Rückruf an jane.doe@corp.de oder KD-4711 erbeten.\n"
    )
    workspace.file("lists/names.csv", LIST)
    workspace.set(privacy={"names_file": "lists/names.csv"}, clean={"min_characters": 1})
    found = workspace.run("discover")
    assert found.facts["names"]["entries"] == 6
    report = workspace.run("ingest", "clean", "privacy")
    text = workspace.texts("privacy")["docs/a.txt"]
    assert text.strip() == "<PERSON> prüfte die Pumpe am Morgen, Rückruf an <EMAIL> oder <CUSTOMER_ID> erbeten."
    assert {kind: counts for kind, counts in report.facts["replaced"].items() if counts} == {
        "customer_id": {"docs": 1}, "email": {"docs": 1}, "person": {"docs": 1}
    }  # fmt: skip
    written = report.model_dump_json() + found.model_dump_json() + caplog.text
    assert not [secret for secret in ("Jane", "Söhne", "4711") if secret in written]

    workspace.file("lists/names.csv", LIST.replace("Jane Doe,person", "Pumpe,part"))
    workspace.run("privacy")
    assert workspace.texts("privacy")["docs/a.txt"] == text  # as pinned
    workspace.run("discover", discover=True)
    workspace.run("privacy")
    assert workspace.texts("privacy")["docs/a.txt"].startswith("<PERSON> Doe prüfte die <PART>")


def test_a_list_that_is_not_there_is_said(workspace):
    workspace.file("docs/a.txt", "text")
    workspace.set(privacy={"names_file": "names.csv"})
    with pytest.raises(StepError, match=r"privacy\.names_file names\.csv cannot be read: No such file"):
        workspace.run("discover")
    workspace.put("clean", {"docs/a": "text"})
    with pytest.raises(StepError, match=r"found none; type `abcd discover`"):
        workspace.run("privacy")


def test_presidio_that_is_not_installed_is_said_with_its_install_line(workspace, monkeypatch):
    monkeypatch.setattr("tasks.big_data.personal_presidio.find_spec", lambda _: None)
    workspace.put("clean", {"docs/a": "text"})
    workspace.set(privacy={"presidio": True})
    with pytest.raises(StepError, match=r"pip install -e '\.\[presidio\]'"):
        workspace.run("privacy")
