"""Bytes of a text file become text: byte order mark, what the file declares, UTF-8, or a guess among old encodings."""

import io
import re
import tokenize

from tasks.big_data.guess import guess
from tasks.big_data.rows import UnreadableError, is_utf8

# Control characters that no text has; the others (tab, line ends, form feed, escape) occur in real files.
_BINARY_CONTROLS = re.compile(r"[\x00-\x06\x0e-\x1a\x1c-\x1f]")
_MAX_CONTROL_SHARE = 0.01
# Longest marks first: UTF-32 begins as UTF-16 does.
_MARKS = ((b"\x00\x00\xfe\xff", "utf-32"), (b"\xff\xfe\x00\x00", "utf-32"),
          (b"\xfe\xff", "utf-16"), (b"\xff\xfe", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))  # fmt: skip
# https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding
_HTML_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]+)"
    rb"|<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([A-Za-z0-9_:.-]+)",
    re.IGNORECASE,
)
_HTML_PRESCAN_BYTES = 1024


def decoded(data: bytes, *, declared: str = "") -> tuple[str, str]:
    """Text of a file and its encoding.

    Raises:
        UnreadableError: it is `binary`, or in an `unknown_encoding`.
    """
    encoding = encoding_of(data, declared=declared)
    text = data.decode(encoding)
    if is_binary(text):
        raise UnreadableError("binary")
    return text, encoding.removesuffix("-sig")


def is_binary(text: str) -> bool:
    """Whether it has characters that no text has."""
    return "\0" in text or len(_BINARY_CONTROLS.findall(text)) > _MAX_CONTROL_SHARE * len(text)


def encoding_of(data: bytes, *, declared: str = "") -> str:
    """Encoding that decodes the bytes: byte order mark, what is declared, UTF-8, or a guess.

    Raises:
        UnreadableError: it is `binary`, or in an `unknown_encoding`.
    """
    mark = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    plain = "" if b"\0" in data else "utf-8"  # NUL is a character of UTF-8, and of no text
    for encoding in (mark, declared if not mark else "", plain):
        if encoding and _decodes(data, encoding):
            return encoding
    return guess(data)


def declared_in_python(data: bytes) -> str:
    """Encoding that Python source declares (PEP 263), "" for none."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError:  # names an encoding that does not exist
        return ""
    return encoding


def declared_in_html(data: bytes) -> str:
    """Encoding that a page declares, "" for none."""
    found = _HTML_CHARSET.search(data[:_HTML_PRESCAN_BYTES])
    name = (found[1] or found[2]).decode().lower() if found else ""
    # Browsers read what says latin-1 as cp1252 (https://encoding.spec.whatwg.org/#names-and-labels).
    return "cp1252" if name in ("iso-8859-1", "latin1", "us-ascii", "ascii") else name


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        return is_utf8(data.decode(encoding))
    except (ValueError, LookupError):
        return False
