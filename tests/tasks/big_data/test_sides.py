"""Sides are read as they were written; where there is no document to judge by, that is said."""

import numpy as np
import polars as pl
import pytest

from tasks.big_data import documents
from tasks.big_data.sides import held_out_ids, write_sides
from tasks.report import StepError

TEXTS = {f"docs/{n}": f"text {n}" for n in range(20)}


def nobody(workspace):
    """All of the documents are to be trained on."""
    ids = pl.Series(["0" * 32])
    write_sides(workspace.out("dedup") / "sides.parquet", [(ids, np.array([False]))])


def test_sides_are_read_as_they_were_written(workspace):
    workspace.put("validate", TEXTS)
    ids = pl.read_parquet(workspace.out("validate") / "part-0.parquet")["id"]
    shards = [(ids[:2], np.array([True, False])), (pl.Series(["0" * 32, ids[2]]), np.array([True, True]))]
    assert write_sides(workspace.out("dedup") / "sides.parquet", shards) == {"train": 1, "held_out": 3}
    # The contract had something against one of the three.
    assert held_out_ids(workspace.settings(), workspace.out("validate")) == {ids[0], ids[2]}


def test_sides_of_many_shards_are_those_of_each(tmp_path, monkeypatch):
    shards = [(pl.Series([f"{n}{row}" for row in range(n)], dtype=pl.String), np.arange(n) % 2 == 0) for n in range(5)]
    assert write_sides(tmp_path / "one", shards) == {"train": 4, "held_out": 6}
    monkeypatch.setattr(documents, "ROW_GROUP", 3)
    write_sides(tmp_path / "many", shards)
    one, many = (pl.read_parquet(tmp_path / name, glob=False) for name in ("one", "many"))
    assert one.equals(many)
    assert one.rows() == [(f"{n}{row}", ("train", "held_out")[row % 2 == 0]) for n in range(5) for row in range(n)]


@pytest.mark.parametrize("number", [0, 4])
def test_too_few_documents_are_an_error(workspace, number):
    workspace.put("validate", dict(list(TEXTS.items())[:number]))
    with pytest.raises(StepError, match=rf"expected at least 5 documents.*found {number};"):
        held_out_ids(workspace.settings(), workspace.out("validate"))


def test_a_base_that_was_trained_on_all_is_said(workspace):
    workspace.put("validate", TEXTS)
    nobody(workspace)
    (workspace.out("discover") / "base").mkdir()
    np.save(workspace.out("discover") / "base" / "trained.npy", np.zeros(1, np.uint64))
    with pytest.raises(StepError, match=r"trained on all that could be held out of 20 documents.*discover\.base"):
        held_out_ids(workspace.settings(), workspace.out("validate"))


def test_sides_that_were_not_decided_name_the_next_move(workspace):
    workspace.put("validate", TEXTS)
    (workspace.out("dedup") / "sides.parquet").unlink()
    with pytest.raises(StepError, match="dvc repro dedup"):
        held_out_ids(workspace.settings(), workspace.out("validate"))
