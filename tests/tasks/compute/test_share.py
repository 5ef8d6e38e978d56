"""Muon's directions, shared out among workers."""

import torch
import torch.distributed as dist

from tasks.algorithm.optimizer import orthogonalize_all
from tasks.compute.share import SharedDirections, assign


def test_the_dearest_goes_first_to_who_has_least():
    # 7 to the first, 6 to the second, 5 to the second (6 < 7): 11; 4 to the first: 11; 1 to the first.
    assert assign([5, 7, 1, 6, 4], workers=2) == [1, 0, 0, 1, 0]


def test_one_worker_does_all():
    updates = {"experts": torch.randn(3, 8, 4), "gate_up_proj": torch.randn(4, 4)}
    for found, expected in zip(
        SharedDirections(rank=0, workers=1)(updates, 1), orthogonalize_all(updates, 1), strict=True
    ):
        assert torch.equal(found, expected)


def test_workers_get_each_others_directions(monkeypatch):
    """Three workers and two weights, so that one has nothing to do; each is played in turn."""
    updates = {"experts": torch.randn(3, 8, 4), "gate_up_proj": torch.randn(4, 4)}
    sent: dict[int, torch.Tensor] = {}
    for rank in (0, 1, 2, 0):  # the first again, when all have sent

        def gather(parts: list[torch.Tensor], own: torch.Tensor, rank: int = rank) -> None:
            sent[rank] = own.clone()
            for worker, part in enumerate(parts):
                part.copy_(sent.get(worker, torch.full_like(own, torch.nan)))

        monkeypatch.setattr(dist, "all_gather", gather)
        found = SharedDirections(rank=rank, workers=3)(updates, 1)
    assert len(found) == 2
    for direction, expected in zip(found, orthogonalize_all(updates, 1), strict=True):
        assert torch.equal(direction, expected)
