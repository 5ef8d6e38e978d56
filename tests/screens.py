"""Debian's Chromium without a window, as tests open pages in it: it reaches this machine only, and keeps pictures."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, Route, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
# A busy machine draws a page of Prefect's UI in many seconds.
SECONDS = 120


class Screen:
    """A page of a browser that reaches this machine only; keeps pictures, and what it was kept from."""

    def __init__(self, context: BrowserContext, pictures: Path) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(SECONDS * 1000)
        self.refused: list[str] = []
        self._pictures = pictures
        context.route("**/*", self._route)

    def _route(self, route: Route) -> None:
        if urlsplit(route.request.url).hostname in ("127.0.0.1", "localhost", None):
            route.continue_()
        else:
            self.refused.append(route.request.url)
            route.abort()

    def keep(self, name: str) -> None:
        """Keep a picture of what is seen now."""
        self.page.screenshot(path=self._pictures / f"{name}.png", full_page=True)

    def button(self, name: str) -> Locator:
        """A button with exactly this on it."""
        return self.page.get_by_role("button", name=name, exact=True).first

    def fill(self, field: str, kind: str, value: str) -> None:
        """Give a field of the form a value: first its kind, then what appears for it."""
        title = self.page.locator(".schema-form-property__label", has_text=re.compile(rf"^{field} \(Optional\)$"))
        part = self.page.locator(".schema-form-property", has=title).last
        part.get_by_role("button", name=kind, exact=True).click()
        part.locator("input, textarea").fill(value)


@contextmanager
def open_screen(pictures: Path) -> Iterator[Screen]:
    """A page of a new browser; its pictures go to ABCD_SCREENSHOTS, else to the folder given."""
    if not CHROMIUM.exists():
        pytest.skip("no Chromium: apt-get install chromium (tests/debian-packages.txt)")
    pictures = Path(os.environ.get("ABCD_SCREENSHOTS") or pictures)
    pictures.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        # Root has no sandbox; containers have a small /dev/shm.
        options = ["--no-sandbox", "--disable-dev-shm-usage"] if os.geteuid() == 0 else []
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        yield Screen(browser.new_context(viewport={"width": 1400, "height": 1000}), pictures)
        browser.close()
