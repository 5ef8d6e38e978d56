"""`abcd report` says where a report is."""

import os
from pathlib import Path

import pytest
import typer

from flows.reports import report
from infra.settings import Settings


@pytest.fixture
def runs(settings: Settings) -> Path:
    for age, run in enumerate(("amber-otter", "blue-finch")):
        (settings.runs / run).mkdir()
        (settings.runs / run / "report.html").write_text(run)
        os.utime(settings.runs / run / "report.html", (1000 - age, 1000 - age))
    return settings.runs


def test_the_last_one_or_the_one_that_is_named(runs: Path, capsys: pytest.CaptureFixture[str]):
    report()
    report("blue-finch")
    said = capsys.readouterr().out.split()
    assert said == [str(runs / "amber-otter" / "report.html"), str(runs / "blue-finch" / "report.html")]


def test_one_that_is_not_there(runs: Path):
    with pytest.raises(typer.BadParameter, match=r"red-fox has no report in .*: amber-otter, blue-finch"):
        report("red-fox")
