"""Tables that are each in the order of ids become one in that order, whatever fits into memory at a time."""

import hashlib

import polars as pl
import pytest

from tasks.big_data.streams import in_ranges, sorted_by_id


@pytest.mark.parametrize("at_once", [1, 7, 40, 1000])
def test_rows_of_all_pieces_come_once_and_in_order(tmp_path, at_once):
    ids = [hashlib.sha256(bytes([number])).hexdigest()[:32] for number in range(60)]
    ids += ["0" * 32, "f" * 32, "8" + "0" * 31]
    rows = pl.DataFrame({"id": ids, "tokens": [list(range(number)) for number in range(63)]})
    pieces = []
    for number in range(4):  # the last one is empty
        piece = rows.filter(pl.int_range(pl.len()) % 3 == number).sort("id")
        pieces.append(tmp_path / str(number))
        pieces[-1].write_bytes(in_ranges(piece))
    parts = list(sorted_by_id(pieces, 40, at_once))
    assert len(parts) == max(1, -(-40 // at_once))
    assert pl.concat(parts).equals(rows.sort("id"))


def test_without_a_piece_there_is_nothing():
    assert not list(sorted_by_id([], 0, 1))
