"""Held-out documents: by hash alone, at least so many, and none changes sides when others come."""

import numpy as np
import pytest

from tasks.big_data.documents import document_id
from tasks.big_data.split import choose, score
from tasks.params import Pack

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
    assert len(chosen(low[:999], Pack(held_out_share=0.1, min_held_out=50))) == 50
    assert chosen(low[:1000], Pack(held_out_share=0.1, min_held_out=50)) == set()


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
