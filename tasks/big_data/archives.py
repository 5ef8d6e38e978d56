"""Compressed files and archives are taken apart: streams of what is in them, with limits that no bomb passes."""

import gzip
import io
import lzma
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from tasks.big_data.rows import MIB, Reading, ReadInner, Row, UnreadableError

# A zstd block makes at most 128 KiB of 4 bytes: this much in, at most 32 MiB out.
_ZST_INPUT_BYTES = 1024
_BUFFER_BYTES = MIB
_SPOOL_BYTES = 32 * MIB
_ENCRYPTED = 0x1
# What decompressors say of damaged bytes. ValueError: a date or a number of a header that is none.
_DAMAGED = (
    OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, NotImplementedError,
    struct.error, ValueError,
)  # fmt: skip


class Expanded(io.RawIOBase):
    """A stream that comes out of a compressed one: its bytes are counted, its errors have a name."""

    def __init__(self, source: Any, reading: Reading, reason: str) -> None:
        self._reading, self._reason = reading, reason
        # What came out before the damage is given out: read1 stops there, read would lose it.
        self._read = getattr(source, "read1", source.read)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with named_errors(self._reason):
            data = self._read(len(buffer))
        self._reading.expand(len(data))
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def named_errors(reason: str) -> Iterator[None]:
    """Whatever a decompressor says of bytes that are damaged, under one name."""
    try:
        yield
    except _DAMAGED as error:
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError(reason) from None


class _ZstSource:
    """Content of every frame of a zstd stream; a truncated one is an error, which zstandard's reader does not say."""

    def __init__(self, file: BinaryIO) -> None:
        import zstandard

        self._zstandard, self._file = zstandard, file
        self._frame: Any = None
        self._packed = self._plain = b""

    def read(self, size: int) -> bytes:
        while not self._plain:
            if not self._packed:
                self._packed = self._file.read(_ZST_INPUT_BYTES)
            if not self._packed:
                if self._frame is not None:
                    raise EOFError
                return b""
            if self._frame is None:
                self._frame = self._zstandard.ZstdDecompressor().decompressobj()
            try:
                self._plain, self._packed = self._frame.decompress(self._packed), b""
            except self._zstandard.ZstdError:
                raise EOFError from None
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
        data, self._plain = self._plain[:size], self._plain[size:]
        return data


def decompressed(file: BinaryIO, compression: str, reading: Reading) -> BinaryIO:
    """The stream within a `.gz` or a `.zst` file."""
    if compression == ".gz":
        return _buffered(Expanded(gzip.GzipFile(fileobj=file), reading, "corrupt_gzip"))
    return _buffered(Expanded(_ZstSource(file), reading, "corrupt_zstd"))


@contextmanager
def seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    """The file itself if one can move in it, else a copy on the disk (in memory while it is small)."""
    if file.seekable():
        yield file
        return
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as copy:
        while block := file.read(_BUFFER_BYTES):
            copy.write(block)
        copy.seek(0)
        yield cast(BinaryIO, copy)


def read_zip(file: BinaryIO, reading: Reading, depth: int, read: ReadInner) -> Iterator[Row]:
    """Rows of every file in a ZIP archive, in its order."""
    with seekable(file) as source:
        with named_errors("corrupt_zip"):
            archive = zipfile.ZipFile(source)
        with archive:
            for member in archive.infolist():
                if not member.is_dir():
                    reading.enter()
                    yield from _zip_member(archive, member, reading, depth, read)


def _zip_member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, reading: Reading, depth: int, read: ReadInner
) -> Iterator[Row]:
    if member.flag_bits & _ENCRYPTED:
        yield Row(None, "", "", "locked", _clean(member.filename))
        return
    try:
        with named_errors("corrupt_zip"):
            content = archive.open(member)
    except UnreadableError as error:
        yield Row(None, "", "", error.reason, _clean(member.filename))
        return
    with content:
        yield from _inner(Expanded(content, reading, "corrupt_zip"), member.filename, depth, read)


def read_tar(file: BinaryIO, reading: Reading, depth: int, read: ReadInner) -> Iterator[Row]:
    """Rows of every file in a TAR archive, in its order; it is read once from begin to end."""
    with named_errors("corrupt_tar"):
        archive = tarfile.open(fileobj=file, mode="r|")  # noqa: SIM115 - members are read while it is open
    while True:
        with named_errors("corrupt_tar"):
            member = archive.next()
        if member is None:
            return
        archive.members = []  # type: ignore[attr-defined] # tarfile keeps all of them, which grows with the archive
        if member.isdir():
            continue
        reading.enter()
        if not member.isfile():
            yield Row(None, "", "", "not_a_file", _clean(member.name))
            continue
        yield from _inner(Expanded(archive.extractfile(member), reading, "corrupt_tar"), member.name, depth, read)


def _inner(content: Expanded, name: str, depth: int, read: ReadInner) -> Iterator[Row]:
    name = _clean(name)
    for row in read(_buffered(content), name, depth + 1):
        yield row._replace(inner=f"{name}!{row.inner}" if row.inner else name)


def _clean(name: str) -> str:
    """A name within an archive as it can stand in a uri."""
    return name.replace("\\", "/").removeprefix("./").encode("utf-8", "replace").decode()


def _buffered(stream: Expanded) -> BinaryIO:
    return cast(BinaryIO, io.BufferedReader(stream, _BUFFER_BYTES))
