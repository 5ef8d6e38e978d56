"""A run's end is told, and nothing of the telling can fail the run."""

from pathlib import Path

import pytest

from flows import tell, terminal
from flows.account import ID_FILE
from infra.settings import Settings
from tasks.report import StepError
from tests.flows.conftest import release


class Heard(terminal.Terminal):
    """Remembers where the report is."""

    path: Path | None = None

    def report(self, path: Path) -> None:
        self.path = path


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Artifacts that were made, newest last."""
    made: list[dict[str, str]] = []

    def create(markdown: str, *, key: str, description: str) -> None:
        made.append({"markdown": markdown, "key": key, "description": description})

    monkeypatch.setattr(tell, "create_markdown_artifact", create)
    return made


def test_a_run_leaves_a_report_its_data_docs_and_an_artifact(settings: Settings, ended, shown):
    account = ended()
    account.release = release()
    with terminal.shown_on(Heard()) as heard:
        tell.tell(account, settings)
    assert heard.path == settings.runs / "amber-otter" / "report.html"
    assert 'href="data_docs/index.html"' in heard.path.read_text(encoding="utf-8")
    assert (heard.path.parent / "data_docs" / "index.html").read_text() == "rules"
    assert 'href="data.html"' in heard.path.read_text(encoding="utf-8")
    assert (heard.path.parent / "data.html").read_text() == "samples"
    assert (heard.path.parent / ID_FILE).read_text() == "id-1"
    [artifact] = shown
    assert artifact["key"] == "summary"
    assert artifact["description"] == "notes@v3 is the champion"
    assert str(heard.path) in artifact["markdown"]
    assert str(heard.path.parent / "data.html") in artifact["markdown"]


def test_a_failed_validation_leaves_the_pages_that_say_why(settings: Settings, ended, shown):
    kept = settings.runs / "rejected" / "validate" / "data_docs"
    kept.mkdir(parents=True)
    (kept / "index.html").write_text("broken rules")
    account = ended("ingest", "clean")
    account.failed("validate", 1.0, StepError("too many rows; mend the sources"))
    tell.tell(account, settings)
    assert (account.folder / "data_docs" / "index.html").read_text() == "broken rules"


def test_told_twice_the_later_report_stays(settings: Settings, ended, shown):
    account = ended("ingest")
    tell.tell(account, settings)
    account.failed("clean", 1.0, StepError("expected text; add some"))
    tell.tell(account, settings)
    assert "failed at clean" in (account.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("broken", ["summary_of", "page.write", "overview.markdown", "create_markdown_artifact"])
def test_what_cannot_be_told_is_a_warning(
    settings: Settings, ended, shown, monkeypatch: pytest.MonkeyPatch, warnings_of, broken: str
):
    def fail(*_args: object, **_more: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(f"flows.tell.{broken}", fail)
    tell.tell(ended("ingest"), settings)
    assert any("the disk is full" in text for text in warnings_of())
