"""Held-out documents: by hash alone, at least so many, and none changes sides when others come."""

import polars as pl
import pytest

from tasks.big_data import split
from tasks.big_data.documents import digest_of, document_id
from tasks.big_data.split import score
from tasks.fingerprints import fingerprints
from tasks.params import Pack
from tasks.report import StepError

IDS = [document_id(f"docs/{n}") for n in range(2000)]


def held_out(ids, pack: Pack, trained=None) -> frozenset[str]:
    """Of documents whose text has the digest `digest_of(id)`."""
    ids = list(ids)
    frame = pl.DataFrame({"id": ids, "digest": [digest_of(id_) for id_ in ids]}, schema={"id": str, "digest": str})
    return split.held_out(frame, pack, trained)


def test_the_share_is_held_out_in_any_order():
    chosen = held_out(IDS, Pack(held_out_share=0.1, min_held_out=1))
    assert chosen == held_out(reversed(IDS), Pack(held_out_share=0.1, min_held_out=1))
    assert chosen == {id_ for id_ in IDS if score(id_) < 0.1}
    assert 150 < len(chosen) < 250
    # Spread over all buckets.
    assert len({id_[0] for id_ in chosen}) == 16


def test_no_document_changes_sides_when_others_come():
    pack = Pack(held_out_share=0.1, min_held_out=50)
    few, many = held_out(IDS[:1000], pack), held_out(IDS, pack)
    assert few == {id_ for id_ in many if id_ in IDS[:1000]}


@pytest.mark.parametrize(("documents", "expected"), [(2000, 50), (251, 50), (249, 49), (100, 20), (9, 1), (5, 1)])
def test_at_least_so_many_up_to_a_fifth(documents, expected):
    assert len(held_out(IDS[:documents], Pack(held_out_share=1e-9, min_held_out=50))) == expected


def test_something_is_left_to_train_on():
    assert len(held_out(IDS[:10], Pack(held_out_share=0.9999))) == 9


@pytest.mark.parametrize("documents", [0, 1, 4])
def test_too_few_documents_are_an_error(documents):
    with pytest.raises(StepError, match=rf"expected at least 5 documents.*found {documents};"):
        held_out(IDS[:documents], Pack(held_out_share=1e-9))


@pytest.mark.parametrize("seen_by", [lambda id_: id_, digest_of])
def test_what_the_base_was_trained_on_is_not_held_out(seen_by):
    pack = Pack(held_out_share=1e-9, min_held_out=50)
    before = held_out(IDS[:100], pack)
    learnt = set(IDS[:100]) - before
    left = [*learnt, *sorted(before)[:5]]
    assert held_out(left, pack, fingerprints(map(seen_by, learnt))) == set(sorted(before)[:5])
    # Without a word of the base, documents that it was trained on would judge what goes on from it.
    assert held_out(left, pack) & learnt


def test_a_base_that_was_trained_on_all_is_said():
    with pytest.raises(StepError, match=r"trained on all 20 documents.*discover\.base"):
        held_out(IDS[:20], Pack(), fingerprints(IDS[:20]))
