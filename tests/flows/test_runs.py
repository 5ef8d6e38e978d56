"""`abcd runs`: ages as people say them, and what runs said."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from flows import keep, runs
from flows.runs import describe_age


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(seconds=-1), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(seconds=61), "1 min"),
        (timedelta(hours=23), "23 h"),
        (timedelta(days=9), "9 d"),
    ],
)
def test_an_age_is_said_in_its_largest_unit(age: timedelta, said: str):
    assert describe_age(age) == said


def test_what_a_run_said_stands_below_it_and_is_whole(monkeypatch, capsys):
    said = "first release: 1.914 bits per byte beat the 2.802 of a byte 3-gram; a person promotes [yellow]\nmore"
    record = SimpleNamespace(
        run="calm-newt", flow="pipeline", state="refused", release="novels-en@v1", said=said,
        code=SimpleNamespace(commit="0123456789abcdef", patch=""), ended_at=datetime.now(UTC).isoformat(),
    )  # fmt: skip
    monkeypatch.setattr(runs, "list_runs", lambda _settings: [record])
    monkeypatch.setattr(runs.Settings, "load", lambda: None)
    monkeypatch.setenv("COLUMNS", "60")
    runs.runs(as_json=False)
    heading, line, *below = capsys.readouterr().out.splitlines()
    assert heading.split() == ["run", "flow", "state", "release", "commit", "age"]
    assert line.split()[:5] == ["calm-newt", "pipeline", "refused", "novels-en@v1", "0123456789"]
    assert " ".join(" ".join(below).split()) == said.splitlines()[0]


@pytest.mark.parametrize(
    ("decision", "is_champion", "state"),
    [("promote", True, "released"), ("ask", True, "released"), ("promote", False, "kept"), ("ask", False, "asks"),
     ("refuse", False, "refused")],
)  # fmt: skip
def test_a_run_with_a_release_ends_as_the_gate_or_a_person_decided(decision: str, is_champion: bool, state: str):
    release = SimpleNamespace(decision=decision, is_champion=is_champion, reasons=["one", "two"])
    assert keep._end(SimpleNamespace(stopped=False, failure=None, release=release)) == (state, "one; two")
