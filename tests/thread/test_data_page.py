"""A person looks at data.html: real corpora through all data steps, in Debian's Chromium, every host blocked."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, sync_playwright

from tests.tasks.big_data.conftest import Workspace

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

CHROMIUM = Path("/usr/bin/chromium")
STEPS = ("discover", "ingest", "clean", "privacy", "dedup", "validate", "tokenizer", "pack", "describe")
SOURCES = ("techdoc_en_postgresql.jsonl.gz", "statutes_de.jsonl.gz", "maintnorm.jsonl.gz")


@pytest.fixture(scope="module")
def described(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Manuals, statutes and work orders, with a thing or two that no model should learn."""
    workspace = Workspace(tmp_path_factory.mktemp("page"))
    for number in range(12):
        workspace.file(
            f"mail/{number}.txt", f"Please call Jane at +49 30 901820{number:02} or write to jane{number}@corp.de.\n"
        )
    uris = [str(shared_data / name) for name in SOURCES]
    text = {"maintnorm.jsonl.gz": {"text": "raw"}}
    sources = [{"uri": uri, **text.get(Path(uri).name, {})} for uri in uris]
    workspace.set(discover={"sources": [*sources, "mail"]}, tokenizer={"vocab_size": 2048})
    workspace.run(*STEPS, discover=True)
    return workspace


@pytest.fixture(scope="module")
def page(described: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A browser on the page that reaches no host; what it asked for is in `asked`."""
    if not CHROMIUM.is_file():
        pytest.skip(f"{CHROMIUM} is not installed; tests/debian-packages.txt")
    pictures = Path(os.environ.get("ABCD_SCREENSHOTS") or tmp_path_factory.mktemp("screens"))
    pictures.mkdir(parents=True, exist_ok=True)
    asked: list[str] = []

    def route(each: Route) -> None:
        if each.request.url.startswith("file://"):
            each.continue_()
        else:
            asked.append(each.request.url)
            each.abort()

    with sync_playwright() as driver:
        # Root has no sandbox; containers have a small /dev/shm.
        options = ["--no-sandbox", "--disable-dev-shm-usage"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        context = browser.new_context(viewport={"width": 1300, "height": 1000})
        context.route("**/*", route)
        page = context.new_page()
        page.set_default_timeout(120_000)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.goto((described.out("describe") / "data.html").as_uri())
        page.screenshot(path=pictures / "data-page.png", full_page=True)
        yield page
        page.set_viewport_size({"width": 390, "height": 800})
        page.screenshot(path=pictures / "data-page-phone.png")
        assert asked == []
        assert complaints == []
        browser.close()


def test_the_first_screen_says_how_much_is_left(described: Workspace, page: Page):
    rows = Path(described.out("validate") / "report.json").read_text()
    assert page.get_by_role("heading", level=1).inner_text().split()[0].replace(",", "") in rows
    assert page.locator(".funnel strong").all_inner_texts() == ["ingest", "clean", "privacy", "dedup", "validate"]


def test_bars_are_seen_and_nothing_is_cut_off(page: Page):
    widths = [each.evaluate("bar => bar.getBoundingClientRect().width") for each in page.locator(".funnel .fill").all()]
    assert max(widths) > 200
    assert min(widths) > 1
    assert page.locator(".charts > div").count() == 6
    for width in (1300, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.set_viewport_size({"width": 1300, "height": 1000})


def test_a_reason_opens_and_shows_what_was_dropped(page: Page):
    fold = page.locator("#dropped details").nth(1)
    assert not fold.locator("pre").first.is_visible()
    fold.locator("summary").click()
    assert fold.locator("pre").first.is_visible()
    assert 1 <= fold.locator(".sample.bad").count() <= 10
    assert fold.locator(".sample.good").count() <= 3


def test_no_mail_address_is_seen(page: Page):
    assert "jane0@corp.de" not in page.content()
    assert "jane1" not in page.content()


def test_the_link_leads_to_the_data_docs(page: Page):
    page.locator("#contracts a").click()
    page.get_by_text("documents-all-rows").first.wait_for()
    page.go_back()
