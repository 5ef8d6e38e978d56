"""Bytes become rows: encodings, compressions, broken rows; every row is a text or has a reason."""

import gzip
import io
import json
import tarfile
import warnings

import polars as pl
import pytest
import zstandard

from tasks.big_data.batches import frame_of
from tasks.big_data.formats import FORMATS
from tasks.big_data.readers import NoTextColumnError, ReadOptions, Row, read_batches, read_rows


def read(data: bytes, suffix: str = ".txt", compression: str = "", text_column: str = "text") -> list[Row]:
    options, name = ReadOptions(text_columns=(text_column,)), f"file{suffix}{compression}"
    rows = list(read_rows(io.BytesIO(data), name=name, options=options))
    # The other entry says the same, column by column.
    batches = pl.concat([frame_of([]), *read_batches(io.BytesIO(data), name=name, options=options)])
    assert batches.equals(frame_of(rows))
    return rows


def lines(*rows: object) -> bytes:
    return b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)


GERMAN = "Die Straße führt über die Brücke, früher hieß sie Große Allee. " * 20


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("naïve ☃\n".encode(), "utf-8"),
        (b"\xef\xbb\xbf" + "naïve ☃\n".encode(), "utf-8"),
        ("naïve ☃\n".encode("utf-16"), "utf-16"),
        (b"\xfe\xff" + "naïve ☃\n".encode("utf-16-be"), "utf-16"),
        ("naïve ☃\n".encode("utf-32"), "utf-32"),
    ],
)
def test_unicode_encodings_are_read_without_their_mark(data, encoding):
    assert read(data) == [Row(None, "naïve ☃\n", encoding, None)]


def test_an_old_encoding_is_detected():
    (row,) = read(GERMAN.encode("latin-1"))
    assert row.text == GERMAN
    assert row.reason is None


def test_python_declares_its_encoding():
    source = '# -*- coding: cp1251 -*-\nname = "Привет"\n'
    assert read(source.encode("cp1251"), ".py") == [Row(None, source, "cp1251", None)]
    # The same declaration means nothing in another file.
    assert read(source.encode(), ".txt")[0].text == source


def test_python_that_declares_nonsense_is_utf8():
    source = "# -*- coding: no-such-thing -*-\n"
    assert read(source.encode(), ".py")[0].text == source


@pytest.mark.parametrize(
    "data",
    [b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"text with a \x00 byte", bytes(range(1, 32)) * 9, b"\xff\xfe\x00"],
)
def test_binary_content_under_a_text_suffix_is_rejected(data):
    assert read(data) == [Row(None, "", "", "binary")]


def test_an_empty_file_is_an_empty_document():
    assert read(b"") == [Row(None, "", "utf-8", None)]


@pytest.mark.parametrize(("compression", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_compressed_files_are_read_whole_or_not_at_all(compression, pack):
    text = "A line of text.\n" * 1000
    packed = pack(text.encode())
    assert read(packed, compression=compression)[0].text == text
    assert read(packed + pack(b"more"), compression=compression)[0].text == f"{text}more"
    flipped = packed[:20] + b"\xff\xff" + packed[22:]  # zstd keeps no checksum unless asked to
    for broken in (packed[:-5], packed[: len(packed) // 2], b"no " + packed, *[flipped] * (compression == ".gz")):
        (row,) = read(broken, compression=compression)
        assert row.reason == {".gz": "corrupt_gzip", ".zst": "corrupt_zstd"}[compression]


def test_each_json_line_is_a_document_or_says_why_not():
    data = lines({"text": "one"}, b"", b'{"text": "two"', [1], {"other": "x"}, {"text": 3}, b'{"text": "\xff"}', b"  ")
    assert read(data + b'\n{"text": "\\ud800"}', ".jsonl") == [
        Row(1, "one", "utf-8", None),
        Row(3, '{"text": "two"', "", "broken_json"),
        Row(4, "[1]", "", "not_an_object"),
        Row(5, '{"other": "x"}', "", "no_text_column"),
        Row(6, '{"text": 3}', "", "text_not_string"),
        Row(7, '{"text": "\\xff"}', "", "not_utf8"),
        Row(9, '{"text": "\\ud800"}', "", "lone_surrogate"),
    ]


def test_json_lines_end_at_line_feeds_only():
    assert [row.text for row in read('{"text": "a\u2028b"}\r\n{"text": "c"}\r\n'.encode(), ".jsonl")] == [
        "a\u2028b",
        "c",
    ]


def test_a_byte_order_mark_before_json_lines_is_no_error():
    assert read(b"\xef\xbb\xbf" + lines({"text": "one"}), ".jsonl")[0].text == "one"


def test_json_that_is_too_deep_or_too_long_a_number_is_broken():
    rows = read(lines(b"[" * 100_000, b'{"text": ' + b"9" * 5000 + b"}"), ".jsonl")
    assert [row.reason for row in rows] == ["broken_json", "broken_json"]


def test_a_missing_text_column_names_the_columns_that_hold_text():
    with pytest.raises(NoTextColumnError) as error:
        read(lines({"raw": "x", "id": 1}, b"broken", {"norm": "y"}), ".jsonl")
    assert (error.value.columns, error.value.exists) == (["raw", "norm"], False)
    assert [row.text for row in read(lines({"raw": "x"}, {"raw": "y"}), ".jsonl", text_column="raw")] == ["x", "y"]


@pytest.mark.parametrize("value", [3, None, ["a", "b"], {"de": "x"}])
def test_a_text_column_that_is_no_text_names_the_columns_that_are(value):
    with pytest.raises(NoTextColumnError) as error:
        read(lines({"text": value, "raw": "x"}, {"text": value, "raw": "y"}, {"other": 1}), ".jsonl")
    assert (error.value.columns, error.value.exists) == (["raw"], True)


def test_a_file_without_rows_is_said():
    assert read(b"\n\n", ".jsonl") == [Row(None, "", "", "no_rows")]
    assert read(parquet(pl.DataFrame({"text": []}, schema={"text": pl.String})), ".parquet") == [
        Row(None, "", "", "no_rows")
    ]


def parquet(frame: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.write_parquet(file)
    return file.getvalue()


def test_parquet_rows_are_documents_and_nulls_are_none():
    frame = pl.DataFrame({"n": [1, 2, 3], "body": ["one", None, "three"]})
    assert read(parquet(frame), ".parquet", text_column="body") == [
        Row(1, "one", "utf-8", None),
        Row(2, "", "", "text_not_string"),
        Row(3, "three", "utf-8", None),
    ]


def test_any_string_column_will_do():
    frame = pl.DataFrame({"a": ["x", "y"]}).with_columns(b=pl.col("a").cast(pl.Categorical))
    assert [row.text for row in read(parquet(frame), ".parquet", text_column="b")] == ["x", "y"]


def test_parquet_without_the_text_column_names_its_string_columns():
    with pytest.raises(NoTextColumnError) as error:
        read(parquet(pl.DataFrame({"text": [1], "body": ["one"]})), ".parquet")
    assert (error.value.columns, error.value.exists) == (["body"], True)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"no parquet at all"])
def test_broken_parquet_is_rejected(data):
    assert read(data, ".parquet") == [Row(None, "", "", "corrupt_parquet")]


def test_parsers_torture_cases_end_in_a_text_or_a_reason(shared_data):
    """JSONTestSuite: what must not parse has a reason, and no case is lost."""
    with tarfile.open(shared_data / "dirty.tar.gz") as archive:
        members = [member for member in archive.getmembers() if "test_parsing/" in member.name and member.isfile()]
        cases = {member.name.rpartition("/")[2]: archive.extractfile(member).read() for member in members}
    cases = {name: content for name, content in cases.items() if b"\n" not in content and b"\r" not in content}
    assert len(cases) > 250
    rows = read(b"\n".join(b'{"text": %s}' % content for content in cases.values()), ".jsonl")

    assert [row.row for row in rows] == list(range(1, len(cases) + 1))
    for name, row in zip(cases, rows, strict=True):
        if name.startswith("n_"):
            assert row.reason is not None, name
        if name.startswith("y_string"):
            assert row.reason in (None, "text_not_string"), name
        assert row.text.encode() or row.text == "", name
    # Each file by itself, under every suffix: an answer, never a crash.
    for content in cases.values():
        for suffix in FORMATS:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    assert read(content, suffix)
                except NoTextColumnError:
                    assert FORMATS[suffix] in ("jsonl", "csv")
