"""Mails become rows: subject and body a document, attachments of known formats documents of their own."""

import io
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser
from typing import BinaryIO

from tasks.big_data.encodings import decoded
from tasks.big_data.readers_pages import read_html
from tasks.big_data.rows import NO_TEXT, Reading, ReadInner, Row, UnreadableError

_FROM = b"From "


def read_eml(data: bytes, reading: Reading, depth: int, read: ReadInner, number: int | None = None) -> Iterator[Row]:
    """Rows of one mail; `number` is its place in a mailbox, which its attachments' paths begin with."""
    mail = BytesParser(EmailMessage, policy=policy.default).parsebytes(data)
    assert isinstance(mail, EmailMessage)
    body = mail.get_body(("plain", "html"))
    subject = _header(mail, "subject")
    try:
        text = "\n\n".join(part for part in (subject, _body(body) if body is not None else "") if part)
        if text:
            meta = {name: value for name in reading.options.metadata if (value := _header(mail, name))}
            yield Row(number, text, "utf-8", None, "", meta or None)
        else:
            yield Row(number, "", "", NO_TEXT)
    except UnreadableError as error:
        yield Row(number, "", "", error.reason)
    place = "" if number is None else f"{number}/"
    for count, part in enumerate(_attachments(mail), start=1):
        reading.enter()
        name = f"{place}{_name(part, count)}"
        content = part.get_payload(decode=True)
        if part.get_content_type() == "message/rfc822":
            inner = part.get_payload(0)
            content = inner.as_bytes() if isinstance(inner, EmailMessage) else b""
        for row in read(io.BytesIO(content if isinstance(content, bytes) else b""), name, depth + 1):
            yield row._replace(inner=f"{name}!{row.inner}" if row.inner else name)


def read_mbox(file: BinaryIO, reading: Reading, depth: int, read: ReadInner) -> Iterator[Row]:
    """Rows of a mailbox: every mail has a number from 1 (https://www.rfc-editor.org/rfc/rfc4155)."""
    for number, data in enumerate(_mails(file, reading), start=1):
        if data is None:
            yield Row(number, "", "", "document_too_large")
        else:
            yield from read_eml(data, reading, depth, read, number)


def _mails(file: BinaryIO, reading: Reading) -> Iterator[bytes | None]:
    """Bytes of each mail, None for one that is too large; it begins with a line of `From ` after a blank one."""
    most = reading.options.limits.document_bytes
    lines: list[bytes] | None = None
    size, is_after_blank, is_line_start = 0, True, True
    while line := file.readline(1 << 20):
        if is_line_start and is_after_blank and line.startswith(_FROM):
            if lines is not None:
                yield b"".join(lines) if size <= most else None
            lines, size = [], 0
        elif lines is None:
            if line.strip():
                raise UnreadableError("corrupt_mbox")
        else:
            size += len(line)
            if size <= most:
                lines.append(line[1:] if line.startswith(b">From ") else line)
            else:
                lines = []
        is_after_blank = is_line_start and not line.strip()
        is_line_start = line.endswith(b"\n")
    if lines is not None:
        yield b"".join(lines) if size <= most else None


def _body(part: MIMEPart) -> str:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return ""
    if part.get_content_subtype() == "html":
        return read_html(content).text
    text, _ = decoded(content, declared=str(part.get_content_charset("")))
    return text.replace("\r\n", "\n").strip()


def _header(mail: EmailMessage, name: str) -> str:
    """A header on one line; the library fails on some that are not well formed."""
    try:
        return " ".join(str(mail.get(name, "")).encode("utf-8", "replace").decode().split())
    except (ValueError, IndexError, AttributeError, TypeError, LookupError):
        return ""


def _attachments(mail: EmailMessage) -> Iterator[MIMEPart]:
    try:
        yield from mail.iter_attachments()
    except (AttributeError, KeyError, TypeError):  # says that it is of parts, and has none
        return


def _name(part: MIMEPart, count: int) -> str:
    try:
        name = part.get_filename() or ""
    except (ValueError, IndexError, AttributeError, TypeError, LookupError):
        name = ""
    name = name.replace("\\", "/").rpartition("/")[2].encode("utf-8", "replace").decode()
    suffix = ".eml" if part.get_content_type() == "message/rfc822" else ""
    return (name if name.lower().endswith(suffix) else f"{name}{suffix}") if name else f"{count}{suffix}"
