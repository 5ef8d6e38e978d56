"""Lines of CSV, however the stream gives them: all that are short enough, and a mark for each that is not."""

import io

from hypothesis import given
from hypothesis import strategies as st

from tasks.big_data import readers_table
from tasks.big_data.readers_table import Lines

# A carriage return alone ends a line too, but not at the end of a block within a line that is too long.
PIECES = st.lists(st.sampled_from(["a", "bcd", "e\n", "\r\n", "\n", "fghijkl"]), max_size=40)


@given(PIECES.map("".join), st.data())
def test_lines_are_those_of_the_text(text, data):
    limit, block = data.draw(st.integers(2, 9)), data.draw(st.integers(2, 12))
    expected = ["x\n" if len(line) > limit else line for line in io.StringIO(text, newline="")]
    stream = io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8", newline="")
    found = list(Lines(stream, limit, block))
    assert "".join(found).count("x\n") == expected.count("x\n")
    assert found == expected
    assert block < readers_table.BLOCK_CHARACTERS
