"""report.html is one file that loads nothing and runs nothing."""

from html.parser import HTMLParser
from typing import Any

from flows.page import html, write
from flows.summary import summary_of
from infra.settings import Settings
from tasks.report import StepError
from tests.flows.conftest import EVIL, release


class Page(HTMLParser):
    """Tags and addresses in a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.said += data


def test_nothing_is_loaded_and_texts_are_texts(settings: Settings, ended):
    account = ended()
    account.release = release(reasons=(EVIL,))
    summary = summary_of(account, settings)
    page = Page(html(summary.model_copy(update={"data_docs": summary.folder / "data_docs" / "index.html"})))
    assert "script" not in page.tags
    assert page.said.count(EVIL) == 3  # a reason, what a step said, a sample
    assert [address[:22] for address in page.addresses] == ["data:image/png;base64,"] * 3 + ["data_docs/index.html"]
    assert "notes@v3 is the champion" in page.said


def test_a_failed_and_a_stopped_run_have_a_report_too(settings: Settings, ended):
    account = ended("ingest")
    with account.log("clean") as log:
        log.line("clean: the last line")
    account.failed("clean", 1.0, StepError("expected text; add some"))
    account.folder.mkdir(parents=True, exist_ok=True)
    said = write(summary_of(account, settings)).read_text(encoding="utf-8")
    assert "expected text; add some" in said
    assert "clean: the last line" in said
    assert "clean.log" in said
    account.ended_by(KeyboardInterrupt())
    assert "was stopped during clean" in html(summary_of(account, settings))
    assert [path.name for path in account.folder.glob(".*")] == []
