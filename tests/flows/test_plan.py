"""`abcd plan` shows what a budget buys and writes it into params.yaml, comments kept."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import cli, plan
from infra.settings import Settings
from tasks import params
from tasks.algorithm.blueprint import Blueprint
from tasks.algorithm.machines import PlanError
from tasks.compute.prediction import Prediction
from tasks.report import Report
from tests.tasks.algorithm.test_plan import CORES


@pytest.fixture
def ask(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    """The command, on two cores that are not measured anew and a corpus of 8.7 MB."""
    monkeypatch.setattr(plan, "_measured", lambda *_: CORES)
    text = {"distinct_bytes": 8_700_000, "bytes_per_token": 3.09}
    Report(step="pack", facts={"train": text, "vocab_size": 2048}).write(settings.artifacts / "pack")

    def invoke(*arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(cli.app, ["plan", *arguments], env={"COLUMNS": "200"}, catch_exceptions=False)
        assert done.exit_code == code, done.output
        return done.output

    return invoke


def test_it_says_what_more_would_buy(ask, tmp_path: Path):
    said = ask("--minutes", "5", "--json", str(tmp_path / "plan.json"), "--picture", str(tmp_path / "plan.png"))
    assert "best" in said
    assert "as in params.yaml" in said
    assert "what other budgets buy" in said
    kept = json.loads((tmp_path / "plan.json").read_text())
    assert [rung["times"] for rung in kept["ladder"]] == [0.25, 0.5, 1, 2, 4]
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_write_keeps_comments_and_the_params_are_the_plan(ask, settings: Settings, tmp_path: Path):
    file = settings.workspace / "params.yaml"
    before = file.read_text().splitlines()
    said = ask("--minutes", "5", "--write", "--json", str(tmp_path / "plan.json"))
    option = json.loads((tmp_path / "plan.json").read_text())["choice"]
    assert "params.yaml:" in said
    written = params.load(file)
    assert written.blueprint.width == option["shape"]["width"]
    assert written.train.tokens == option["tokens"]
    after = file.read_text().splitlines()
    comments = [line.partition("#")[2] for line in before if "#" in line]
    assert comments == [line.partition("#")[2] for line in after if "#" in line]
    # Sections stay apart: new keys stand before the empty line.
    assert after[after.index("discover:") - 1] == ""
    foretold = Prediction.of(settings, Blueprint.make(written))
    assert foretold
    assert foretold.bits_per_byte == option["bits_per_byte"]
    assert "params.yaml says so already" in ask("--minutes", "5", "--write")


def test_a_plan_for_another_machine_foretells_nothing_of_this_one(ask, settings: Settings):
    ask("--machine", "h100", "--gpu-hours", "2", "--corpus-mb", "5000", "--write")
    written = params.load(settings.workspace / "params.yaml")
    assert written.blueprint.preset == "small"
    assert Prediction.of(settings, Blueprint.make(written)) is None


@pytest.mark.parametrize(("word", "kind"), [("dense", "dense"), ("mixture", "mixture of experts")])
def test_one_kind_alone_if_asked(ask, tmp_path: Path, word: str, kind: str):
    ask("--minutes", "5", "--only", word, "--json", str(tmp_path / "plan.json"))
    kept = json.loads((tmp_path / "plan.json").read_text())
    assert kept["choice"]["kind"] == kind
    assert {rung["option"]["kind"] for rung in kept["ladder"]} == {kind}


def test_money_buys_hours_at_a_price(ask, tmp_path: Path):
    for arguments in (["--money", "16", "--price", "2"], ["--gpu-hours", "8"], ["--minutes", "60"]):
        ask(
            *arguments, "--machine", "h100", "--gpus", "8", "--corpus-mb", "5000", "--json", str(tmp_path / "plan.json")
        )
        assert json.loads((tmp_path / "plan.json").read_text())["budget_seconds"] == pytest.approx(3600)


def test_errors_say_what_to_give(ask, settings: Settings):
    assert "say one of --minutes, --gpu-hours and --money" in ask(code=2)
    assert "--money needs --price" in ask("--money", "3", code=2)
    with pytest.raises(PlanError, match="no machine 'abacus': known are"):
        ask("--minutes", "5", "--machine", "abacus")
    with pytest.raises(PlanError, match="give 1 minutes at least"):
        ask("--minutes", "0.01")
    (settings.artifacts / "pack" / "report.json").unlink()
    with pytest.raises(PlanError, match=r"nothing is packed in .*run `dvc repro pack` first .*--corpus-mb"):
        ask("--minutes", "5")


def test_a_model_that_is_trained_on_has_its_shape(ask, settings: Settings):
    params.override(settings.workspace / "params.yaml", [("discover.base", "champion")])
    with pytest.raises(PlanError, match="trains on from champion, whose shape and tokenizer are given"):
        ask("--minutes", "5")
