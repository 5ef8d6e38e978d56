"""Bytes by name in a local folder or an S3 bucket: a name is whole or absent, and may be taken only once.

`put_if_absent` is the one primitive that the registry's log stands on: of many writers, on many machines,
exactly one gets a name. Everything else is reading and streaming, with the SHA-256 computed on the way.
"""

import hashlib
import os
import secrets
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, NoReturn

CHUNK_BYTES = 16 * 2**20
S3_INSTALL = "pip install -e '.[s3]'"
_S3_SCHEMES = ("s3", "s3a")
_S3_HINT = "look at the bucket's name and AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
_PUT_TRIES = 5
_RACERS = 8
# No writer takes this long between the first byte of a file and the entry that names it.
STALE_SECONDS = 86_400


class StorageError(RuntimeError):
    """A store cannot be used, or does not do what it must; the message names the place and the next move."""


class Content(NamedTuple):
    """What bytes are: their SHA-256 in hex and their number."""

    sha256: str
    size: int


class Stored(NamedTuple):
    """A name that is taken: how many bytes, when they came, in seconds since the epoch, and S3's tag of them."""

    name: str
    size: int
    modified: float
    tag: str = ""

    def is_stale(self, now: float) -> bool:
        """Whether whoever wrote it must be done with it, or dead."""
        return now - self.modified > STALE_SECONDS


def content_of(data: bytes) -> Content:
    """Digest and size of bytes in memory."""
    return Content(hashlib.sha256(data).hexdigest(), len(data))


class Store(ABC):
    """Named bytes under one root. Names are relative POSIX paths; a missing name raises FileNotFoundError."""

    root: str

    @abstractmethod
    def read(self, name: str) -> bytes:
        """All bytes of a name."""

    @abstractmethod
    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a name in pieces of at most `CHUNK_BYTES`."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Whether the name is taken."""

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """Names and folders directly in a folder, sorted, last parts only; empty when there is none."""

    @abstractmethod
    def files(self, folder: str = "") -> list[Stored]:
        """All names below a folder ("": the whole store), however deep, sorted; unfinished files too."""

    @abstractmethod
    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Take a name for these bytes, for ever; False when other bytes already have it.

        A writer whose answer was lost and who tries again is told True: bytes that must tell writers apart
        carry something unique.
        """

    @abstractmethod
    def put(self, name: str, source: Path, *, sha256: str) -> None:
        """Stream a file to a name, replacing what is there; nothing changes unless the digest is `sha256`.

        Raises:
            StorageError: the file's bytes have another digest; it was changed while it was read.
        """

    @abstractmethod
    def remove(self, name: str) -> None:
        """Free a name; no error when it is not there."""

    @abstractmethod
    def scratch(self) -> AbstractContextManager[Path]:
        """Path of a local file in the making, which `take` may take; gone afterwards."""

    @abstractmethod
    def take(self, name: str, file: Path) -> None:
        """Give a finished file of `scratch` a name, replacing what is there; whole or not at all."""

    def stamps(self, folder: str) -> dict[str, str]:
        """Of each file directly in a folder what changes with its bytes; {} in a store that cannot say."""
        return {}

    def where(self, name: str) -> str:
        """Full name, for people."""
        return f"{self.root.rstrip('/')}/{name}"

    def read_many(self, names: Sequence[str]) -> list[bytes]:
        """All bytes of each name, in order, read side by side."""
        with ThreadPoolExecutor(max_workers=16) as pool:
            return list(pool.map(self.read, names))

    def content(self, name: str) -> Content:
        """Digest and size of a name, every byte read."""
        return _measure(self.chunks(name))

    def download(self, name: str, to: Path) -> Content:
        """Stream a name into a new file and tell what came; the caller compares."""
        with to.open("xb") as file:
            came = _measure(_copied(self.chunks(name), file))
            file.flush()
            os.fsync(file.fileno())
        return came

    def probe(self) -> None:
        """Let writers race for one name and see that the store lets exactly one win, as some stores do not.

        Raises:
            StorageError: the store ignores put-if-absent.
        """
        name = "probe"
        offers = [secrets.token_bytes(16) for _ in range(_RACERS)]
        taken_before = self.exists(name)
        with ThreadPoolExecutor(max_workers=_RACERS) as pool:
            won = [offer for offer, first in zip(offers, pool.map(self._offer, offers), strict=True) if first]
        left = self.read(name)
        if len(won) > (0 if taken_before else 1) or (left in offers and left not in won):
            raise StorageError(
                f"{self.root}: {len(won)} of {_RACERS} writers won a race for one name, at most one may; "
                "this store ignores If-None-Match and would lose releases: use AWS S3 or a local folder"
            )

    def _offer(self, data: bytes) -> bool:
        return self.put_if_absent("probe", data)


class LocalStore(Store):
    """A folder. Names appear by `link(2)` of a finished, synced file, which fails where the name is taken."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self._root = root

    def read(self, name: str) -> bytes:
        return self._path(name).read_bytes()

    def chunks(self, name: str) -> Iterator[bytes]:
        with self._path(name).open("rb") as file:
            yield from _pieces(file)

    def exists(self, name: str) -> bool:
        return self._path(name).is_file()

    def names(self, folder: str) -> list[str]:
        path = self._path(folder)
        return sorted(found.name for found in path.iterdir()) if path.is_dir() else []

    def files(self, folder: str = "") -> list[Stored]:
        found = []
        for path, _, names in os.walk(self._path(folder) if folder else self._root):
            for name in names:
                file = Path(path, name)
                with suppress(FileNotFoundError):  # gone since it was listed
                    seen = file.lstat()
                    found.append(Stored(file.relative_to(self._root).as_posix(), seen.st_size, seen.st_mtime))
        return sorted(found)

    def put_if_absent(self, name: str, data: bytes) -> bool:
        target = self._path(name)
        with self.scratch() as fresh:
            fresh.write_bytes(data)
            _sync(fresh)
            _make_folder(target.parent)
            try:
                os.link(fresh, target)
            except FileExistsError:
                # Over NFS the answer to a link that was made may be lost; the same file means it was ours.
                return fresh.samefile(target)
            except OSError as error:
                raise StorageError(
                    f"{target}: this file system makes no hard links ({error}), which put-if-absent needs; "
                    "move the registry to a local disk or to S3"
                ) from error
        _sync(target.parent)
        return True

    def put(self, name: str, source: Path, *, sha256: str) -> None:
        with self.scratch() as fresh:
            with source.open("rb") as read, fresh.open("wb") as write:
                came = _measure(_copied(_pieces(read), write))
            if came.sha256 != sha256:
                _refuse_changed(source, came, sha256)
            self.take(name, fresh)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        # What killed writers left a day ago goes too.
        folder = self._root / ".tmp"
        _make_folder(folder)
        for left in folder.iterdir():
            try:
                if time.time() - left.stat().st_mtime > STALE_SECONDS:
                    left.unlink()
            except FileNotFoundError:  # another writer was faster
                continue
        fresh = folder / f"{os.getpid()}-{secrets.token_hex(8)}"
        try:
            yield fresh
        finally:
            fresh.unlink(missing_ok=True)

    def take(self, name: str, file: Path) -> None:
        target = self._path(name)
        _sync(file)
        _make_folder(target.parent)
        file.replace(target)
        _sync(target.parent)

    def remove(self, name: str) -> None:
        try:
            self._path(name).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self._path(name)} cannot be removed: {error}; look at its folder's owner") from error

    def _path(self, name: str) -> Path:
        return self._root / _safe(name)


class S3Store(Store):
    """A bucket or a prefix in one, through s3fs; `AWS_*` variables say where and who."""

    def __init__(self, url: str) -> None:
        self.root = url.rstrip("/")
        self._fs, self._base = s3_filesystem(self.root)

    def read(self, name: str) -> bytes:
        with self._reached(name):
            data: bytes = self._fs.cat_file(self._key(name))
            return data

    def chunks(self, name: str) -> Iterator[bytes]:
        with self._reached(name), self._fs.open(self._key(name), "rb", cache_type="none") as file:
            yield from _pieces(file)

    def exists(self, name: str) -> bool:
        with self._reached(name):
            return bool(self._fs.exists(self._key(name)))

    def names(self, folder: str) -> list[str]:
        with self._reached(folder):
            try:
                found = self._fs.ls(self._key(folder), detail=False, refresh=True)
            except FileNotFoundError:
                return []
        return sorted(PurePosixPath(key).name for key in found)

    def files(self, folder: str = "") -> list[Stored]:
        below = f"{self._key(folder) if folder else self._base}/"
        with suppress(FileNotFoundError), self._reached(folder):
            found = self._fs.find(below.rstrip("/"), detail=True)
            return sorted(
                self._stored(key, seen)
                for key, seen in found.items()
                if seen["type"] == "file" and key.startswith(below)
            )
        return []

    def stat(self, name: str) -> Stored:
        """What a name has now, asked anew."""
        with self._reached(name):
            key = self._key(name)
            return self._stored(key, self._fs.info(key, refresh=True))

    def _stored(self, key: str, seen: dict[str, Any]) -> Stored:
        name = key.removeprefix(f"{self._base}/")
        return Stored(name, int(seen["size"]), seen["LastModified"].timestamp(), seen["ETag"].strip('"'))

    def stamps(self, folder: str) -> dict[str, str]:
        # Another PUT has another ETag, or at least another time (its ETag is the MD5 of plain uploads).
        return {PurePosixPath(one.name).name: f"{one.tag} {one.size} {one.modified}" for one in self.files(folder)}

    def put_if_absent(self, name: str, data: bytes) -> bool:
        # Never open("xb") with empty content: it overwrites. One PUT with If-None-Match either takes the name
        # or fails; after any failure, a lost answer included, what is there decides.
        for attempt in range(_PUT_TRIES):
            try:
                with self._reached(name):
                    self._fs.pipe_file(self._key(name), data, mode="create")
                return True
            except (OSError, StorageError) as error:
                try:
                    return self.read(name) == data
                except FileNotFoundError:
                    if attempt == _PUT_TRIES - 1 or isinstance(error, FileNotFoundError):
                        raise StorageError(f"{self.where(name)} cannot be written: {error}; {_S3_HINT}") from error
            time.sleep(0.1 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def put(self, name: str, source: Path, *, sha256: str) -> None:
        from botocore.exceptions import BotoCoreError

        # s3fs commits what it has when a `with` block fails; without autocommit nothing appears until told.
        with source.open("rb") as read, self._reached(name):
            write = self._fs.open(self._key(name), "wb", autocommit=False)
            try:
                came = _measure(_copied(_pieces(read), write))
                write.close()
                if came.sha256 != sha256:
                    _refuse_changed(source, came, sha256)
                write.commit()
            except FileNotFoundError as error:  # the bucket
                raise self._unwritable(name, error) from error
            except BaseException:
                with suppress(OSError, BotoCoreError):  # an upload that is not there; that is not the cause
                    write.discard()
                raise

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError), self._reached(name):
            self._fs.rm_file(self._key(name))

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="abcd-") as folder:
            yield Path(folder) / "file"

    def take(self, name: str, file: Path) -> None:
        with self._reached(name):
            try:
                self._fs.put_file(str(file), self._key(name))
            except FileNotFoundError as error:  # the bucket
                raise self._unwritable(name, error) from error

    def _unwritable(self, name: str, error: Exception) -> StorageError:
        return StorageError(f"{self.where(name)} cannot be written: {error}; {_S3_HINT}")

    def _key(self, name: str) -> str:
        return f"{self._base}/{_safe(name)}"

    @contextmanager
    def _reached(self, name: str) -> Iterator[None]:
        """Say which object could not be reached, and what to look at."""
        from botocore.exceptions import BotoCoreError

        try:
            yield
        except (FileNotFoundError, FileExistsError):
            raise
        except (OSError, BotoCoreError) as error:
            raise StorageError(f"{self.where(name)}: {error}; {_S3_HINT}") from error


def open_store(root: str) -> Store:
    """Store of a folder or an `s3://` URL.

    Raises:
        StorageError: another kind of URL, or s3fs is not installed.
    """
    scheme, separator, rest = root.partition("://")
    if not separator:
        return LocalStore(Path(root).resolve())
    if scheme == "file":
        return LocalStore(Path(rest).resolve())
    if scheme in _S3_SCHEMES:
        return S3Store(root)
    raise StorageError(f"{root}: a store is a folder or an s3:// URL, found {scheme}://")


def s3_filesystem(url: str) -> tuple[Any, str]:
    """s3fs file system without a cache of listings, and the path of a URL in it.

    Raises:
        StorageError: s3fs is not installed.
    """
    try:
        from s3fs import S3FileSystem
    except ImportError as error:
        raise StorageError(f"{url} needs s3fs, which is not installed ({error}); type {S3_INSTALL}") from error
    return S3FileSystem(use_listings_cache=False), S3FileSystem._strip_protocol(url)


def _safe(name: str) -> str:
    """The name, which must stay under the root."""
    if name.startswith("/") or "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise StorageError(f"{name!r} is no name in a store: expected a relative path without '..'")
    return name


def _pieces(file: Any) -> Iterator[bytes]:
    while piece := file.read(CHUNK_BYTES):
        yield piece


def _copied(pieces: Iterator[bytes], to: Any) -> Iterator[bytes]:
    for piece in pieces:
        to.write(piece)
        yield piece


def _measure(pieces: Iterator[bytes]) -> Content:
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return Content(digest.hexdigest(), size)


def _refuse_changed(source: Path, came: Content, expected: str) -> NoReturn:
    raise StorageError(
        f"{source} was changed while it was stored: expected SHA-256 {expected}, found {came.sha256}; "
        "nothing was stored, run again"
    )


def _make_folder(folder: Path) -> None:
    """Make a folder that survives a power cut: each new name is synced in the folder above."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(path: Path) -> None:
    """Flush a file or a folder's names to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
