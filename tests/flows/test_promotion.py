"""`abcd promote`, `rollback`, `history`, `show`: what a person reads."""

import json

import pytest
from typer.testing import CliRunner

from flows import cli
from infra.settings import Settings
from tests.tasks.distribution.conftest import Publisher


@pytest.fixture
def abcd(tmp_path, monkeypatch):
    """The command in a workspace whose registry has v1 and v2; neither is champion."""
    settings = Settings(workspace=tmp_path)
    monkeypatch.setattr(Settings, "load", classmethod(lambda cls: settings))
    for text in ("one", "two"):
        Publisher(settings).release(text)

    def run(*arguments):
        done = CliRunner().invoke(cli.app, arguments, env={"COLUMNS": "120"}, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_promotion_and_rollback_say_from_where_to_where(abcd):
    assert abcd("promote", "novels@v1") == "novels@v1 is the champion now\n"
    assert abcd("promote", "novels@v2") == "novels@v2 is the champion now instead of v1\n"
    assert abcd("promote", "novels@v2") == "novels@v2 is the champion now, as it was before\n"
    said = abcd("rollback", "novels")
    assert said.startswith("novels@v1 is the champion again instead of v2; who pulls novels@champion gets it")
    assert abcd("rollback", "novels", "--to", "v2").startswith("novels@v2 is the champion again instead of v1")


def test_history_is_a_table_or_json(abcd):
    abcd("promote", "novels@v1")
    lines = abcd("history", "novels").splitlines()
    assert "signs this log" in lines[1]
    assert "released v1, 2.000 bits per byte; the gate said: ask" in lines[2]
    assert "candidate: v1 → v2" in lines[-2]
    assert "champion: nothing → v1" in lines[-1]
    rows = json.loads(abcd("history", "novels", "--json"))
    assert [row["sequence"] for row in rows] == list(range(len(lines) - 1))
    assert (rows[-1]["alias"], rows[-1]["before"], rows[-1]["version"]) == ("champion", None, 1)


def test_show_says_first_why_a_release_is_not_the_champion(abcd):
    first, second, *_ = abcd("show", "novels@v2").splitlines()
    assert first.startswith("novels@v2: never champion: the gate leaves it to a person; ")
    assert second == "the gate said: ask"
    assert json.loads(abcd("show", "novels@v2", "--json"))["standing"] in first
