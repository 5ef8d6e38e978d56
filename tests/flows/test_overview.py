"""The first artifact begins with what came out, and nothing of a document can break out of its place."""

from markdown_it import MarkdownIt

from flows.overview import markdown
from flows.summary import summary_of
from infra.settings import Settings
from tasks.report import StepError
from tests.flows.conftest import release


def test_a_whole_run(settings: Settings, ended):
    account = ended()
    account.release = release("refuse")
    lines = markdown(summary_of(account, settings)).split("\n\n")
    assert lines[0] == "# notes@v3 was refused"
    assert lines[1].startswith("**Refused** · 2.000 bits per byte · ")
    assert lines[2] == "- because"
    assert lines[3].startswith("**What would help:** it read 4,000 tokens")
    headings = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert headings == [
        "What you can do next", "How good it is", "What it cost", "Curves", "What was asked", "Data", "Steps",
        "A sample of what it writes", "Where it is",
    ]  # fmt: skip
    assert "| clean | 22 | 20 | 2 | 2 too\\_short |" in "\n".join(lines)
    assert "| utilisation (MFU) | 28% |" in "\n".join(lines)


def test_a_failed_run_begins_with_the_cause(settings: Settings, ended):
    account = ended("ingest")
    with account.log("clean") as log:
        log.line("clean: expected text; add some")
    account.failed("clean", 1.0, StepError("expected text; add some"))
    lines = markdown(summary_of(account, settings)).split("\n\n")
    assert lines[0] == "**clean failed:** expected text; add some"
    assert lines[1] == "# python-stdlib failed at clean"
    assert lines[3] == "```\nclean: expected text; add some\n```"
    assert lines[4] == f"The whole log: `{settings.runs}/amber-otter/clean.log`"


def test_only_our_pictures_are_pictures_and_nothing_is_html(settings: Settings, ended):
    account = ended()
    account.release = release(reasons=("worse in <img src=http://evil.example/a.png> ![x](http://evil.example/b.png)",))
    html = MarkdownIt("commonmark").enable("table").render(markdown(summary_of(account, settings)))
    assert "<script" not in html
    assert html.count("<img ") == html.count('<img src="data:image/png;base64,') == 3
