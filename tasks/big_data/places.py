"""Where source files are: a uri and the settings become a place whose bytes can be read, on a disk or in a bucket."""

import errno
import hashlib
import os
import re
import shutil
import stat
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from infra.settings import Settings
from infra.storage import S3Store, StorageError, Stored
from tasks.report import StepError, sha256_of
from tasks.source import HTTP, STDLIB_URI, split_glob
from tasks.source import S3 as S3

SIDE_BY_SIDE = 16  # requests to a bucket, whose answers take their time

Stamp = list[int | str]

# urlsplit and urlunsplit do not agree on sqlite:////file in all versions of Python.
_WHO_ASKS = re.compile(r"^([^:/?#]+://)[^/?#]*@")
_OPTIONS = re.compile(r"\?[^#]*")


class Place(Protocol):
    """One source file. What is not there or not readable raises OSError."""

    def is_regular(self) -> bool:
        """Whether it has bytes of its own: no socket, no device."""

    def stamp(self, *, fresh: bool = False) -> Stamp:
        """Size in bytes, then what changes with the bytes; `fresh`: asked anew, not as listed."""

    def changed_ns(self) -> int | None:
        """When it last changed, in nanoseconds; None where the stamp alone tells any two contents apart."""

    def read(self) -> bytes:
        """All bytes."""

    def sha256(self) -> str:
        """Digest of all bytes."""

    def open(self) -> BinaryIO:
        """The file on a disk, to be read as a stream; what is elsewhere is fetched for the while."""

    def __str__(self) -> str:
        """Full name."""


class DiskPlace:
    """A file on a disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def is_regular(self) -> bool:
        return stat.S_ISREG(self._path.stat().st_mode)

    def stamp(self, *, fresh: bool = False) -> Stamp:
        # A modification time can be set back, ctime cannot.
        seen = self._path.stat()
        return [seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino]

    def changed_ns(self) -> int | None:
        seen = self._path.stat()
        return max(seen.st_mtime_ns, seen.st_ctime_ns)

    def read(self) -> bytes:
        return self._path.read_bytes()

    def open(self) -> BinaryIO:
        return self._path.open("rb")

    def sha256(self) -> str:
        return sha256_of(self._path)

    def __str__(self) -> str:
        return str(self._path)


class BucketPlace:
    """An object of a bucket. Its tag is a digest of the bytes, so a stamp tells any two contents apart."""

    def __init__(self, store: S3Store, name: str, listed: Stored | None = None) -> None:
        self._store, self._name, self._listed = store, name, listed

    def is_regular(self) -> bool:
        return True

    def stamp(self, *, fresh: bool = False) -> Stamp:
        with _as_os_error(self):
            if fresh or self._listed is None:
                self._listed = self._store.stat(self._name)
        return [self._listed.size, self._listed.tag]

    def changed_ns(self) -> int | None:
        return None

    def read(self) -> bytes:
        with _as_os_error(self):
            return self._store.read(self._name)

    def sha256(self) -> str:
        return hashlib.sha256(self.read()).hexdigest()

    def open(self) -> BinaryIO:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the reader closes it
        with _as_os_error(self):
            for chunk in self._store.chunks(self._name):
                file.write(chunk)
        file.seek(0)
        return file

    def __str__(self) -> str:
        return self._store.where(self._name)


class Places:
    """Places of source files; a bucket is listed once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._buckets: dict[str, dict[str, BucketPlace]] = {}

    def of(self, uri: str, source: str) -> Place:
        """Place of a source file with this uri, of a source as given."""
        if source.startswith(S3):
            return self.bucket(source).get(uri) or BucketPlace(*_opened(uri))
        if source.startswith(HTTP):
            return web_place(source)
        if "://" in source:
            return DiskPlace(snapshot_of(self._settings.snapshots, source) / uri.rpartition("/")[2])
        stdlib = f"{STDLIB_URI}/"
        if uri.startswith(stdlib):
            return DiskPlace(root_of(STDLIB_URI, self._settings) / uri.removeprefix(stdlib))
        return DiskPlace(self._settings.source_root / uri)

    def one(self, uri: str, source: str) -> Place:
        """As `of`, without a list of the bucket: for who reads this file alone."""
        return BucketPlace(*_opened(uri)) if source.startswith(S3) else self.of(uri, source)

    def bucket(self, source: str) -> dict[str, BucketPlace]:
        """Uri and place of each object of an `s3://` source, in the order of uris; {} where nothing is there.

        Raises:
            StepError: the bucket cannot be reached.
        """
        if source not in self._buckets:
            try:
                self._buckets[source] = _listed(source)
            except StorageError as error:
                raise StepError(f"discover.sources: {source!r} cannot be listed: {error}") from error
        return self._buckets[source]


def web_place(source: str) -> Place:
    """Place of the file with this URL."""
    # Here, because only sources of the web need its client.
    from tasks.big_data.web import WebPlace

    return WebPlace(source)


def snapshot_of(folder: Path, source: str) -> Path:
    """Folder below that of all snapshots with the rows of a database's source."""
    return folder / hashlib.sha256(source.encode()).hexdigest()[:16]


def link_or_copy(old: str | Path, new: str | Path) -> None:
    """Give a file that is never written to a second name, or its copy where the disk has no links."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copyfile(old, new)


def root_of(source: str, settings: Settings) -> Path:
    """Folder or file of a source on a disk, of a glob the folder that it starts in.

    Raises:
        StepError: the source is a URL of a scheme we do not read.
    """
    if source == STDLIB_URI:
        return Path(sysconfig.get_path("stdlib"))
    if "://" in source:
        raise StepError(
            f"discover.sources: expected a folder or a file, local or s3://, a file by https://, {STDLIB_URI}, or a "
            f"database URL with a query, found {source!r}; copy it to a local folder and name that, or add the query"
        )
    return settings.source_root / split_glob(source)[0]


def base_of(source: str) -> str:
    """Beginning of the uris of a source's files: the source as given, without what only looks different or a glob.

    Of a URL without who asks, and of a database's without its driver's options.
    """
    if source == STDLIB_URI:
        return source
    if "://" in source and not source.startswith(S3):
        shown = _WHO_ASKS.sub(r"\1", source)
        return shown if source.startswith(HTTP) else _OPTIONS.sub("", shown)
    folder, _ = split_glob(source)
    return folder.rstrip("/") if source.startswith(S3) else PurePosixPath(folder).as_posix()


def _listed(source: str) -> dict[str, BucketPlace]:
    base = base_of(source)
    store = S3Store(base)
    # A name that ends in "/" is what consoles leave to show an empty folder.
    below = {f"{base}/{one.name}": one for one in store.files() if not one.name.endswith("/")}
    if below or "/" not in base.removeprefix(S3):
        return {uri: BucketPlace(store, one.name, one) for uri, one in sorted(below.items())}
    parent, name = _opened(base)
    try:
        return {base: BucketPlace(parent, name, parent.stat(name))}
    except FileNotFoundError:
        return {}


def _opened(uri: str) -> tuple[S3Store, str]:
    folder, _, name = uri.rpartition("/")
    return S3Store(folder), name


@contextmanager
def _as_os_error(place: BucketPlace) -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise OSError(errno.EIO, str(error), str(place)) from error
