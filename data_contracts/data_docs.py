"""Data Docs as Great Expectations writes them become pages that are the same bytes each time and load nothing.

Great Expectations puts the time, random names, a picture from its own host, and scripts and styles of five others
into each page. Here names are counted, the time is taken out, one small style sheet stands in for the others, and the
index, which a script would fill, gets plain links.
"""

import re
from pathlib import Path

_REMOVED = re.compile(
    r"<script\b.*?</script>|<footer\b.*?</footer>|<button\b.*?</button>|<img\b[^>]*>|<link\b[^>]*href=\"https?:[^>]*>",
    re.IGNORECASE | re.DOTALL,
)
_REMOTE_PICTURES = re.compile(r"(?<=url\(')https?://[^']*")
# Not the one of `expectations.RUN_TIME`, which is in the names of pages.
_TIMES = re.compile(r"(?<!\d)(?!20000101T)\d{8}T\d{6}\.\d{6}Z")
_UUIDS = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 72rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; } td, th { border: 1px solid #ddd; padding: .4rem; text-align: left; }
a { color: #0b5394; } h1, h2, h3 { margin: 1.5rem 0 .5rem; }
@media (prefers-color-scheme: dark) { body { background: #161616; color: #eee; } a { color: #8ab4f8; } }
</style>
</head>"""


def settle(docs: Path) -> None:
    """Rewrite all pages below `docs` in place; of the files that come with them only the icon is used, and kept."""
    for file in sorted((docs / "static").rglob("*"), reverse=True):
        if file.is_dir() and not any(file.iterdir()):
            file.rmdir()
        elif file.is_file() and file.suffix != ".ico":
            file.unlink()
    pages = sorted(docs.rglob("*.html"))
    for page in pages:
        page.write_text(_settled(page.read_text(encoding="utf-8")), encoding="utf-8")
    index = docs / "index.html"
    links = [page.relative_to(docs).as_posix() for page in pages if page != index]
    items = "".join(f'<li><a href="{link}">{link.split("/")[0]}: {Path(link).stem}</a></li>\n' for link in links)
    text = index.read_text(encoding="utf-8")
    index.write_text(text.replace("<body>", f"<body>\n<ul>\n{items}</ul>", 1), encoding="utf-8")


def _settled(page: str) -> str:
    names: dict[str, str] = {}
    page = _UUIDS.sub(lambda match: names.setdefault(match.group(), f"id-{len(names)}"), page)
    page = _REMOTE_PICTURES.sub("", _REMOVED.sub("", _TIMES.sub("", page)))
    return page.replace("</head>", _STYLE, 1)
