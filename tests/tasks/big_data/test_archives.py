"""Archives are taken apart within limits: no bomb, no damage and no lock stops the run or goes uncounted."""

import gzip
import io
import random
import resource
import tarfile
import zipfile

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.big_data.readers import ReadOptions, Row, read_rows
from tests import office


def read(data: bytes, name: str, **limits: int) -> list[Row]:
    options = ReadOptions(limits=office.limits(**limits))
    return list(read_rows(io.BytesIO(data), name=name, options=options))


def found(data: bytes, name: str, **limits: int) -> list[tuple[str, int | None, str, str | None]]:
    return [(row.inner, row.row, row.text, row.reason) for row in read(data, name, **limits)]


FILES = {
    "a.txt": b"one", "d/b.jsonl.gz": gzip.compress(b'{"text": "x"}\n{"text": "y"}\n'), "tool.exe": b"MZ",
    "in.zip": office.zipped({"c.md": b"three"}),
}  # fmt: skip
ROWS = [
    ("a.txt", None, "one", None),
    ("d/b.jsonl.gz", 1, "x", None),
    ("d/b.jsonl.gz", 2, "y", None),
    ("tool.exe", None, "", "unknown_format"),
    ("in.zip!c.md", None, "three", None),
]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.zip", office.zipped),
        ("a.tar", office.tarred),
        ("a.tar.gz", lambda files: gzip.compress(office.tarred(files))),
        ("a.tar.zst", lambda files: zstandard.compress(office.tarred(files))),
    ],
)
def test_every_file_within_is_read(name, pack):
    assert found(pack(FILES), name) == ROWS


def test_too_deep_is_said_of_that_file_alone():
    data = b"text"
    for depth in range(4):
        data = office.zipped({f"{depth}.txt": b"fine", ("x.txt" if depth == 0 else "x.zip"): data})
    assert found(data, "a.zip", depth=2) == [
        ("3.txt", None, "fine", None),
        ("x.zip!2.txt", None, "fine", None),
        ("x.zip!x.zip", None, "", "archive_too_deep"),
    ]


def test_too_many_files_end_the_archive():
    assert found(office.zipped(FILES), "a.zip", members=2) == [
        *ROWS[:3],
        ("", None, "", "archive_too_many_members"),
    ]


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "csv", "pdf", "docx", "zip"])
def test_a_bomb_ends_the_archive_before_it_is_expanded(suffix):
    bomb = office.zipped({f"bomb.{suffix}": b"a" * (30 << 20)})
    assert len(bomb) < 100_000
    rows = found(office.zipped({"a.txt": b"fine", "b.zip": bomb}), "a.zip", expanded_slack_bytes=1 << 20)
    assert rows[0] == ("a.txt", None, "fine", None)
    assert rows[-1] == ("", None, "", "archive_too_large")
    for compressed, pack in (("gz", gzip.compress), ("zst", zstandard.compress)):
        rows = found(pack(b"a" * (30 << 20)), f"bomb.{suffix}.{compressed}", expanded_slack_bytes=1 << 20)
        assert rows[-1][3] == "archive_too_large"


def test_an_office_file_that_is_a_bomb_is_not_opened():
    bomb = office.zipped({"word/document.xml": bytes(30 << 20)})
    for suffix in ("docx", "pptx", "xlsx"):
        assert found(bomb, f"a.{suffix}", expanded_slack_bytes=1 << 20) == [("", None, "", "archive_too_large")]


def test_a_file_that_is_too_large_to_be_read_whole_is_said():
    assert found(b"x" * 101, "a.txt", document_bytes=100) == [("", None, "", "document_too_large")]
    assert found(office.zipped({"a.txt": b"x" * 101, "b.txt": b"y"}), "a.zip", document_bytes=100) == [
        ("a.txt", None, "", "document_too_large"),
        ("b.txt", None, "y", None),
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_one_line_too_long_is_passed_over(name):
    long = b'{"text": "' + b"x" * 1000 + b'"}' if name == "a.jsonl" else b"x" * 1000
    rows = (b'{"text": "a"}', long, b'{"text": "b"}') if name == "a.jsonl" else (b"text", b"a", long, b"b")
    assert [(row.text, row.reason) for row in read(b"\n".join(rows), name, line_bytes=200)] == [
        ("a", None),
        ("", "line_too_long"),
        ("b", None),
    ]


class _Endless(io.RawIOBase):
    """A line without an end, that takes no memory itself."""

    def __init__(self, size: int) -> None:
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        size = min(len(buffer), self._left)
        buffer[:size] = b"x" * size
        self._left -= size
        return size


@pytest.mark.parametrize("name", ["a.jsonl", pytest.param("a.csv", marks=pytest.mark.long), "a.txt"])
def test_a_gigabyte_in_one_line_takes_no_gigabyte_of_memory(name):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = list(read_rows(io.BufferedReader(_Endless(1 << 30)), name=name, options=ReadOptions()))
    assert [row.reason for row in rows] == (["document_too_large"] if name == "a.txt" else ["line_too_long"])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 * 1024  # KiB


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("zst", zstandard.compress)])
def test_rows_before_the_damage_are_kept(suffix, pack):
    lines = b"".join(b'{"text": "%064x"}\n' % (number**25) for number in range(100_000))
    packed = pack(lines)
    rows = read(packed[: len(packed) // 2], f"a.jsonl.{suffix}")
    assert rows[-1] == Row(None, "", "", {"gz": "corrupt_gzip", "zst": "corrupt_zstd"}[suffix])
    assert len(rows) > 20_000
    assert all(row.reason is None for row in rows[:-1])


def test_a_truncated_archive_keeps_what_came_before():
    files = {f"{number}.txt": b"%064x" % number**25 * 4000 for number in range(9)}
    for name, data in (("a.tar", office.tarred(files)), ("a.tar.gz", gzip.compress(office.tarred(files)))):
        rows = read(data[: len(data) * 2 // 3], name)
        assert rows[0].text.encode() == files["0.txt"], name
        assert rows[-1].reason in ("corrupt_tar", "corrupt_gzip"), name
    assert found(office.zipped(files)[:-40], "a.zip") == [("", None, "", "corrupt_zip")]


def test_a_damaged_file_within_leaves_the_others():
    data = bytearray(office.zipped({"a.txt": b"first " * 99, "b.txt": b"second " * 99}))
    data[40:44] = b"\xff\xff\xff\xff"
    assert [(row.inner, row.reason) for row in read(bytes(data), "a.zip")] == [
        ("a.txt", "corrupt_zip"),
        ("b.txt", None),
    ]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_has_the_same_name_however_a_file_is_packed(method):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a.txt", bytes(random.Random(1).choices(range(97, 123), k=5000)))
    whole = file.getvalue()
    for at in range(40, 3000, 37):
        damaged = whole[:at] + bytes([whole[at] ^ 0xFF]) * 9 + whole[at + 9 :]
        assert [(row.inner, row.reason) for row in read(damaged, "a.zip")] == [("a.txt", "corrupt_zip")], at


def test_locked_files_and_links_are_said():
    data = bytearray(office.zipped({"a.txt": b"x"}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    assert found(bytes(data), "a.zip") == [("a.txt", None, "", "locked")]
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert found(file.getvalue(), "a.tar") == [("link", None, "", "not_a_file")]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_is_a_crash(data):
    name, content = data.draw(
        st.sampled_from(
            [
                ("a.zip", office.zipped(FILES)),
                ("a.tar.gz", gzip.compress(office.tarred(FILES))),
                ("a.tar", office.tarred(FILES)),
            ]
        )
    )
    broken = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    rows = read(bytes(broken[: data.draw(st.integers(1, len(broken)))]), name, expanded_slack_bytes=1 << 20)
    assert rows
    assert all(row.reason is None or row.reason.replace("_", "").isalpha() for row in rows)
