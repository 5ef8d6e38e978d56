"""Pages become text: HTML without its boilerplate, PDF with a text layer, documents and slides of an office."""

import io
import re
import threading
import zipfile
from collections.abc import Iterator
from typing import Any

from tasks.big_data.archives import named_errors
from tasks.big_data.encodings import declared_in_html, decoded
from tasks.big_data.rows import NO_TEXT, Reading, Row, UnreadableError, library

# What frames a page, by its role rather than by the length of its lines: short lines are what instructions are made of.
_FRAME = (
    "nav", "aside", "body > header", "body > footer", "footer.footer", "dialog",
    "[role=navigation]", "[role=banner]", "[role=contentinfo]", "[role=search]", "[role=complementary]", "[hidden]",
    ".navbar", ".navigation", ".breadcrumb", ".breadcrumbs", ".sidebar", "#sidebar", ".toc-backref", ".headerlink",
    ".cookie-banner", "#cookie-banner", ".cookie-consent", "#cookie-consent", ".skip-link",
)  # fmt: skip
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # an encrypted document of an office, or one older than 2007
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_COPY_BYTES = 1 << 20
# PDFium marks a hyphen at the end of a line, where a word goes on in the next one.
_BROKEN_WORD = re.compile("[\ufffe\x02]\\s*")
_BLANK_LINES = re.compile(r"\n{3,}")
_PDFIUM = threading.Lock()  # it is not safe to use from two threads


def read_html(data: bytes) -> Row:
    """Text of a page without what frames it; lists, tables and code keep their lines."""
    text, encoding = decoded(data, declared=declared_in_html(data))
    extract = library("resiliparse.extract.html2text").extract_plain_text
    found = extract(text, alt_texts=False, skip_elements=list(_FRAME)) or extract(text, alt_texts=False)
    return _page(found.replace("\xa0", " "), encoding)


def read_pdf(data: bytes) -> Row:
    """Text of all pages; a document of pages without text alone would have to be recognised first."""
    pdfium = library("pypdfium2")
    with _PDFIUM:
        try:
            document = pdfium.PdfDocument(data)
        except pdfium.PdfiumError as error:
            raise UnreadableError("locked" if "password" in str(error).lower() else "corrupt_pdf") from None
        try:
            pages = [_pdf_page(page) for page in document]
        except pdfium.PdfiumError:
            raise UnreadableError("corrupt_pdf") from None
        finally:
            document.close()
    if not any(pages):
        raise UnreadableError("needs_ocr" if pages else NO_TEXT)
    blank = sum(not page for page in pages)
    meta = {"pages": str(len(pages)), "pages_without_text": str(blank)} if blank else None
    return Row(None, "\n\n".join(page for page in pages if page), "utf-8", None, "", meta)


def _pdf_page(page: Any) -> str:
    layer = page.get_textpage()
    try:
        text = layer.get_text_bounded()
    finally:
        layer.close()
        page.close()
    return _BROKEN_WORD.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()


def read_docx(data: bytes, reading: Reading) -> Row:
    """Text of a document: headings, paragraphs, lists and tables in their order."""
    docx = library("docx")
    with _office(data, reading, "docx") as file:
        document = docx.Document(file)
        return _page("\n\n".join(_docx_parts(document, docx)), "utf-8")


def _docx_parts(document: Any, docx: Any) -> Iterator[str]:
    listed: list[str] = []
    for part in document.iter_inner_content():
        is_table = isinstance(part, docx.table.Table)
        style = "" if is_table else (part.style.name if part.style is not None else "") or ""
        if style.startswith("List") and part.text.strip():
            listed.append(f"- {part.text.strip()}")
            continue
        if listed:
            yield "\n".join(listed)
            listed = []
        if is_table:
            yield "\n".join(_table_row(row) for row in part.rows)
        elif part.text.strip():
            level = style.removeprefix("Heading ")
            yield (
                f"{'#' * int(level)} {part.text.strip()}" if style != level and level.isdecimal() else part.text.strip()
            )
    if listed:
        yield "\n".join(listed)


def _table_row(row: Any) -> str:
    return " | ".join(cell.text.strip().replace("\n", " ") for cell in row.cells)


def read_pptx(data: bytes, reading: Reading) -> Row:
    """Text of all slides and of the notes below them."""
    pptx = library("pptx")
    with _office(data, reading, "pptx") as file:
        slides = pptx.Presentation(file).slides
        return _page("\n\n".join("\n".join(_slide(slide)) for slide in slides), "utf-8")


def _slide(slide: Any) -> Iterator[str]:
    for shape in slide.shapes:
        yield from _shape(shape)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        yield slide.notes_slide.notes_text_frame.text.strip()


def _shape(shape: Any) -> Iterator[str]:
    if hasattr(shape, "shapes"):  # a group
        for inner in shape.shapes:
            yield from _shape(inner)
    elif getattr(shape, "has_table", False):
        yield from (_table_row(row) for row in shape.table.rows)
    elif getattr(shape, "has_text_frame", False) and shape.text_frame.text.strip():
        yield shape.text_frame.text.strip()


class _office:  # noqa: N801 - used as a function
    """A document of an office: a ZIP archive within the limits. Whatever is wrong with it has one name."""

    def __init__(self, data: bytes, reading: Reading, kind: str) -> None:
        self._data, self._reading, self._kind = data, reading, kind

    def __enter__(self) -> io.BytesIO:
        check_office(self._data, self._reading, self._kind)
        return io.BytesIO(self._data)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # These libraries say what is wrong with a file in a dozen ways, KeyError and lxml's own among them.
        if isinstance(error, Exception) and not isinstance(error, UnreadableError):
            raise UnreadableError(f"corrupt_{self._kind}") from None


def check_office(data: bytes, reading: Reading, kind: str) -> None:
    """Refuse what is locked, no ZIP archive, or a bomb: every byte is expanded once before a library sees it.

    Raises:
        UnreadableError: it is `locked`, damaged or too large.
    """
    if data.startswith(_OLE):
        raise UnreadableError("locked" if _ENCRYPTED_PACKAGE in data else f"corrupt_{kind}")
    with named_errors(f"corrupt_{kind}"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            reading.enter()
            with archive.open(member) as content:
                while block := content.read(_COPY_BYTES):
                    reading.expand(len(block))


def _page(text: str, encoding: str) -> Row:
    text = _BLANK_LINES.sub("\n\n", text).strip()
    if not text:
        raise UnreadableError(NO_TEXT)
    return Row(None, text, encoding, None)
