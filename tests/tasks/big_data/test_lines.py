"""Lines of bounded length, and parts of a file of lines, are the same lines however the file is cut."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.big_data import lines
from tasks.big_data.batches import frame_of
from tasks.big_data.readers import Columns, NoTextColumnError, ReadOptions, read_batches, read_rows

CONTENT = st.lists(st.sampled_from([b"", b"a", b"bcd", b'{"text": "x"}', b'{"a": 1}', b"\r"]), max_size=30).map(
    b"\n".join
)


class _Dribble(io.BytesIO):
    """Gives a few bytes at a time, as a decompressor may."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(min(3, size if size is not None and size >= 0 else 3))


@given(CONTENT, st.integers(1, 40))
def test_parts_hold_all_lines_and_know_their_numbers(content, span_bytes):
    spans = list(lines.cut(io.BytesIO(content), span_bytes))
    assert b"".join(content[span.start : span.end] for span in spans) == content
    assert all(span.end - span.start >= span_bytes for span in spans[:-1])
    for span in spans:
        assert span.first_row == 1 + content[: span.start].count(b"\n")
        assert span.start == 0 or content[span.start - 1 : span.start] == b"\n"


@given(CONTENT, st.integers(1, 40))
def test_reading_parts_is_reading_the_file(content, span_bytes):
    options = ReadOptions()
    try:
        whole = [row for row in read_rows(io.BytesIO(content), name="a.jsonl", options=options) if row.row]
        error = None
    except NoTextColumnError as raised:
        whole, error = None, raised
    columns, found = Columns(), []
    for span in lines.cut(io.BytesIO(content), span_bytes):
        found += list(read_batches(io.BytesIO(content), name="a.jsonl", options=options, span=span, columns=columns))
    if error is None:
        columns.check()
        assert [row for frame in found for row in frame.rows()] == frame_of(whole).rows()
    else:
        with pytest.raises(NoTextColumnError) as again:
            columns.check()
        assert (again.value.columns, again.value.exists) == (error.columns, error.exists)


@given(CONTENT, st.integers(1, 6))
def test_lines_too_long_are_none_and_all_others_are_there(content, most):
    expected = [line if len(line) <= most else None for line in content.split(b"\n")]
    for file in (io.BytesIO(content), _Dribble(content)):
        found = [line for block in lines.blocks_of_lines(file, most) for line in block]
        assert found == (expected if expected[-1] != b"" else expected[:-1])


def test_metadata_and_templates_are_the_same_in_both_readers():
    import polars as pl

    frame = pl.DataFrame({"t": ["a", None, "", "ä"], "n": [1, 2, None, 4], "id": ["x", None, "y", "z"]})
    file = io.BytesIO()
    frame.write_parquet(file)
    data = b"\n".join(json.dumps(row).encode() for row in frame.rows(named=True))
    csv = frame.write_csv().encode()
    for options in (
        ReadOptions(("t",), "{t} ({n})", metadata=("id", "n")),
        ReadOptions(("t", "n"), metadata=("id",)),
    ):
        found = []
        for name, content in (("a.parquet", file.getvalue()), ("a.jsonl", data), ("a.csv", csv)):
            rows = list(read_rows(io.BytesIO(content), name=name, options=options))
            batches = pl.concat(read_batches(io.BytesIO(content), name=name, options=options))
            assert batches.equals(frame_of(rows)), name
            found.append([(row.row, row.text, row.meta) for row in rows if row.reason is None])
        assert found[0] == found[1] == found[2]
        assert len(found[0]) == 3
