"""A file by its URL: what the server says of it tells whether it is new, its bytes are taken as they are sent."""

import errno
import hashlib
import io
import logging
import time
from email.utils import parsedate_to_datetime
from typing import BinaryIO

import httpx

from tasks.big_data.credentials import hushed, opened
from tasks.big_data.places import Stamp

MAX_BYTES = 2 * 2**30
_TRIES = 4
_WAIT_SECONDS = 0.5
_TIMEOUT = httpx.Timeout(60, connect=15)
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
# As stored: a server that compresses on the way may do it in another way tomorrow.
_HEADERS = {"Accept-Encoding": "identity"}

# It logs every URL, tokens included.
logging.getLogger("httpx").setLevel(logging.WARNING)


class WebPlace:
    """A file that a server sends. Its tag or its date tells two contents apart; without either only the bytes do."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._seen: tuple[Stamp, int | None] | None = None

    def is_regular(self) -> bool:
        return True

    def stamp(self, *, fresh: bool = False) -> Stamp:
        return self._looked(fresh=fresh)[0]

    def changed_ns(self) -> int | None:
        return self._looked()[1]

    def read(self) -> bytes:
        answer, data = self._asked("GET", with_body=True)
        if not answer.is_success:
            raise _refused(answer, self)
        return data

    def sha256(self) -> str:
        return hashlib.sha256(self.read()).hexdigest()

    def open(self) -> BinaryIO:
        return io.BytesIO(self.read())

    def __str__(self) -> str:
        return self._uri

    def _looked(self, *, fresh: bool = False) -> tuple[Stamp, int | None]:
        """Stamp, and when it last changed if only the date tells."""
        if fresh or self._seen is None:
            self._seen = self._told(self._headers()) or self._read_to_know()
        return self._seen

    def _told(self, headers: httpx.Headers) -> tuple[Stamp, int | None] | None:
        """As the server tells it; None if that is not enough to tell two contents apart."""
        size, tag, date = headers.get("Content-Length", "0"), headers.get("ETag", ""), headers.get("Last-Modified", "")
        if not int(size) or "Content-Encoding" in headers:  # some say 0 when they are only asked
            return None
        _require_size(int(size), self)
        if tag and not tag.startswith("W/"):  # a weak tag may stay when bytes change (RFC 9110, 8.8.1)
            return [int(size), tag], None
        try:
            changed = parsedate_to_datetime(date).timestamp()
        except ValueError:
            return None
        return [int(size), date], int(changed * 1e9)

    def _read_to_know(self) -> tuple[Stamp, int]:
        """By its bytes, which are read again next time: as if it had changed just now."""
        data = self.read()
        return [len(data), hashlib.sha256(data).hexdigest()], time.time_ns()

    def _headers(self) -> httpx.Headers:
        """What the server says of the file; some refuse to say it without sending it."""
        for method in ("HEAD", "GET"):
            answer, _ = self._asked(method, with_body=False)
            if answer.is_success:
                break
        else:
            raise _refused(answer, self)
        return answer.headers

    def _asked(self, method: str, *, with_body: bool) -> tuple[httpx.Response, bytes]:
        """An answer and its body; a server that is busy, gone or breaks off is asked again a few times.

        Raises:
            OSError: no whole answer came, or it is too large.
        """
        url, left = opened(self._uri), _TRIES
        with httpx.Client(timeout=_TIMEOUT, follow_redirects=True, max_redirects=5, headers=_HEADERS) as client:
            while True:
                left -= 1
                try:
                    with client.stream(method, url) as answer:
                        if answer.status_code not in _TRY_AGAIN or not left:
                            return answer, self._body(answer) if with_body and answer.is_success else b""
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    if not left or not isinstance(error, httpx.TransportError):
                        said = hushed(error, self._uri) or type(error).__name__
                        raise OSError(errno.EIO, f"the server cannot be read: {said}", str(self)) from None
                time.sleep(_WAIT_SECONDS * 2 ** (_TRIES - 1 - left))

    def _body(self, answer: httpx.Response) -> bytes:
        data = bytearray()
        for chunk in answer.iter_raw():
            data += chunk
            _require_size(len(data), self)
        return bytes(data)


def _refused(answer: httpx.Response, place: WebPlace) -> OSError:
    said = f"the server answers {answer.status_code} {answer.reason_phrase}".rstrip()
    return OSError(errno.ENOENT if answer.status_code == 404 else errno.EACCES, said, str(place))


def _require_size(size: int, place: WebPlace) -> None:
    if size > MAX_BYTES:
        said = f"more than {MAX_BYTES / 2**30:g} GiB, found {size:,} bytes; download it and name the file"
        raise OSError(errno.EFBIG, said, str(place))
