"""Held-out documents: by hash alone, at least so many, and none changes sides when others come."""

import numpy as np
import polars as pl
import pytest

from tasks.big_data.documents import document_id
from tasks.big_data.split import choose, held_out, score, write_sides
from tasks.params import Pack
from tasks.report import StepError

IDS = [document_id(f"docs/{n}") for n in range(2000)]


def chosen(ids, pack: Pack, seen: frozenset[str] = frozenset()) -> set[str]:
    """Ids that are held out."""
    ids = list(ids)
    scores = np.array([score(id_) for id_ in ids], dtype=np.uint64)
    unseen = np.array([id_ not in seen for id_ in ids], dtype=np.bool_)
    return {id_ for id_, is_chosen in zip(ids, choose(scores, pack, unseen), strict=True) if is_chosen}


def test_the_share_is_held_out_in_any_order():
    found = chosen(IDS, Pack(held_out_share=0.1, min_held_out=1))
    assert found == chosen(reversed(IDS), Pack(held_out_share=0.1, min_held_out=1))
    assert found == {id_ for id_ in IDS if score(id_) < 0.1 * 2**64}
    assert 150 < len(found) < 250
    # Spread over all first digits.
    assert len({id_[0] for id_ in found}) == 16


def test_no_document_changes_sides_when_others_come():
    pack = Pack(held_out_share=0.1, min_held_out=50)
    few, many = chosen(IDS[:1000], pack), chosen(IDS, pack)
    assert few == {id_ for id_ in many if id_ in IDS[:1000]}


def test_a_corpus_that_is_large_enough_is_not_topped_up():
    low = [id_ for id_ in IDS if score(id_) > 0.1 * 2**64]
    assert len(chosen(low[:499], Pack(held_out_share=0.1, min_held_out=50))) == 50
    assert chosen(low[:500], Pack(held_out_share=0.1, min_held_out=50)) == set()


@pytest.mark.parametrize(("documents", "expected"), [(2000, 50), (251, 50), (249, 49), (100, 20), (9, 1), (5, 1)])
def test_at_least_so_many_up_to_a_fifth(documents, expected):
    assert len(chosen(IDS[:documents], Pack(held_out_share=1e-9, min_held_out=50))) == expected


def test_something_is_left_to_train_on():
    assert len(chosen(IDS[:10], Pack(held_out_share=0.9999))) == 9


@pytest.mark.parametrize("documents", [0, 1, 4])
def test_too_few_documents_are_held_out_by_hash_alone(documents):
    assert chosen(IDS[:documents], Pack(held_out_share=1e-9)) == set()


def test_what_the_base_was_trained_on_is_not_held_out():
    pack = Pack(held_out_share=1e-9, min_held_out=50)
    before = chosen(IDS[:100], pack)
    learnt = frozenset(IDS[:100]) - before
    left = [*learnt, *sorted(before)[:5]]
    assert chosen(left, pack, learnt) == set(sorted(before)[:5])
    # Without a word of the base, documents that it was trained on would judge what goes on from it.
    assert chosen(left, pack) & learnt


def test_sides_are_read_as_they_were_written(tmp_path):
    (tmp_path / "dedup").mkdir()
    shards = [(pl.Series(IDS[:2]), np.array([True, False])), (pl.Series(IDS[2:4]), np.array([True, False]))]
    assert write_sides(tmp_path / "dedup" / "sides.parquet", shards) == {"train": 2, "held_out": 2}
    assert held_out(tmp_path, pl.Series(IDS)) == {IDS[0], IDS[2]}
    assert held_out(tmp_path, pl.Series(IDS[2:])) == {IDS[2]}


@pytest.mark.parametrize("documents", [0, 4])
def test_too_few_documents_are_an_error(tmp_path, documents):
    (tmp_path / "dedup").mkdir()
    write_sides(tmp_path / "dedup" / "sides.parquet", [(pl.Series(IDS), np.zeros(len(IDS), np.bool_))])
    with pytest.raises(StepError, match=rf"expected at least 5 documents.*found {documents};"):
        held_out(tmp_path, pl.Series(IDS[:documents], dtype=pl.String))


def test_a_base_that_was_trained_on_all_is_said(tmp_path):
    for folder in ("dedup", "discover/base"):
        (tmp_path / folder).mkdir(parents=True)
    np.save(tmp_path / "discover" / "base" / "trained.npy", np.zeros(1, np.uint64))
    write_sides(tmp_path / "dedup" / "sides.parquet", [(pl.Series(IDS[:20]), np.zeros(20, np.bool_))])
    with pytest.raises(StepError, match=r"trained on all that could be held out of 20 documents.*discover\.base"):
        held_out(tmp_path, pl.Series(IDS[:20]))


def test_sides_that_were_not_decided_name_the_next_move(tmp_path):
    with pytest.raises(StepError, match="dvc repro dedup"):
        held_out(tmp_path, pl.Series(IDS))
