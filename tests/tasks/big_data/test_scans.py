"""Columns of many shards and rows of one are those of the table, however many are read at once."""

import polars as pl
import pytest

from tasks.big_data import documents, scans
from tasks.report import StepError

ROWS = [3, 0, 5, 1, 4]


@pytest.fixture
def table(tmp_path):
    """Five shards, one of them empty, with rejected rows in two."""
    shards, number = [], 0
    for name, rows in enumerate(ROWS):
        values = [(f"{(n * 7) % 13:032x}", f"u{n}", "s", "g", "l", "en", "", f"text {n}", "d") for n in range(rows)]
        frame = pl.DataFrame(values, schema=documents.SCHEMA, orient="row").with_columns(uri=pl.lit(str(number)))
        lost = frame.head(2 * (rows > 3)).with_columns(reasons=pl.lit(["bad"]))
        shard, files = documents.files_of(str(name), documents.Sifted(frame, lost))
        for path, data in files.items():
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).write_bytes(data)
        shards.append(shard)
        number += rows
    documents.write_index(tmp_path, shards)
    return tmp_path


@pytest.mark.parametrize("at_once", [1, 4, 100])
@pytest.mark.parametrize("rejected", [False, True])
def test_columns_of_many_shards_are_those_of_each(table, monkeypatch, at_once, rejected):
    monkeypatch.setattr(scans, "_ROWS_AT_ONCE", at_once)
    found = pl.concat(scans.columns_of(table, ["id", "uri"], rejected=rejected))
    whole = documents.read_rejected(table) if rejected else documents.read(table)
    assert found.select("id", "uri").equals(whole.select("id", "uri"))
    counts = [2 * (rows > 3) if rejected else rows for rows in ROWS]
    assert found["shard"].to_list() == [shard for shard, rows in enumerate(counts) for _ in range(rows)]


def test_a_table_without_rows_gives_none(table):
    documents.write_index(table, [shard._replace(rows=0) for shard in documents.read_index(table)])
    assert not list(scans.columns_of(table, ["id"]))


def test_rows_with_the_smallest_ids_come_whole_and_in_order(table):
    file = table / documents.part("2")
    whole = pl.read_parquet(file, glob=False)
    assert scans.smallest(table, "2", 2).equals(whole[[0, 2]])
    assert scans.smallest(table, "2", 9).equals(whole)
    assert scans.rows_with([file, table / documents.part("4")], whole["id"][[1]])["uri"].to_list() == ["3", "9"]
    given = scans.rows_with([file.read_bytes()], whole["id"][[1]], ["uri", "text"])
    assert given.equals(whole[[1]].select("uri", "text"))


def test_a_shard_that_is_not_there_is_named(table):
    (table / documents.part("3")).unlink()
    with pytest.raises(StepError, match=r"expected .*part-3.parquet, found none"):
        list(scans.columns_of(table, ["id"]))
