"""Our adapter asks the real Presidio, in an environment of its own as it is heavy; privacy writes what it finds."""

import json
import os
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.peers import peer_python
from tasks.big_data import personal_presidio
from tasks.big_data.personal_spans import Span

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[3]
ASK = """
import json, sys
from tasks.big_data import personal_presidio
personal_presidio.require()
json.dump([personal_presidio.find(text) for text in json.load(sys.stdin)], sys.stdout)
"""
# A model as spaCy finds one, of rules, so that nothing is fetched: names of people and places, and of a firm.
MODEL = """
import spacy
def load(**_):
    made = spacy.blank("xx")
    names = {"PER": "Jane Doe", "LOC": "Hamburg", "ORG": "Acme"}
    made.add_pipe("entity_ruler").add_patterns([{"label": kind, "pattern": name} for kind, name in names.items()])
    return made
"""
Find = Callable[[str], list[Span]]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Interpreter of an environment with what the extra `presidio` names."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    try:
        return peer_python(tmp_path_factory.mktemp("presidio"), *extras["presidio"])
    except subprocess.CalledProcessError as error:
        pytest.skip(f"Presidio cannot be installed: {error}")


@pytest.fixture
def find(python: Path, tmp_path: Path) -> Callable[..., Find]:
    """The adapter, run there."""

    def finder(*, with_model: bool) -> Find:
        packages = tmp_path / "packages"
        if with_model:
            (packages / "xx_rules").mkdir(parents=True)
            (packages / "xx_rules" / "__init__.py").write_text(MODEL)
            about = packages / "xx_rules-1.0.dist-info"
            about.mkdir()
            (about / "METADATA").write_text("Metadata-Version: 2.1\nName: xx_rules\nVersion: 1.0\n")
            (about / "entry_points.txt").write_text("[spacy_models]\nxx_rules = xx_rules\n")

        def ask(text: str) -> list[Span]:
            # No way out: nothing may be fetched.
            environment = {
                **os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{packages}", "https_proxy": "http://127.0.0.1:9",
            }  # fmt: skip
            done = subprocess.run(
                [python, "-c", ASK], input=json.dumps([text]), capture_output=True, text=True, env=environment,
                check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            [spans] = json.loads(done.stdout)
            return [Span(*span) for span in spans]

        return ask

    return finder


def found(text: str, spans: list[Span]) -> dict[str, str]:
    return {text[span.start : span.end]: span.kind for span in spans}


def test_its_recognisers_find_what_ours_do_not_and_ask_nobody(find):
    text = "My NHS number is 943 476 5919, jane@corp.de, card 4111 1111 1111 1111, part 4111-2222, order 12345."
    spans = find(with_model=False)(text)
    assert found(text, spans) == {"943 476 5919": "uk_nhs", "4111 1111 1111 1111": "credit_card"}
    assert spans == sorted(spans)


def test_names_come_from_a_model_that_is_there_and_privacy_replaces_them(find, workspace, monkeypatch):
    monkeypatch.setattr(personal_presidio, "require", lambda: None)
    monkeypatch.setattr(personal_presidio, "find", find(with_model=True))
    text = "Jane Doe of Acme in Hamburg, NHS 943 476 5919, wrote to jane@corp.de."
    workspace.put("clean", {"docs/a": text})
    workspace.set(privacy={"presidio": True})
    report = workspace.run("privacy")
    assert workspace.texts("privacy") == {"docs/a": "<PERSON> of Acme in <LOCATION>, NHS <UK_NHS>, wrote to <EMAIL>."}
    counted = {kind: sum(counts.values()) for kind, counts in report.facts["replaced"].items() if counts}
    assert counted == {"person": 1, "location": 1, "uk_nhs": 1, "email": 1}
