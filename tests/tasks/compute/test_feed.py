"""The next step's tokens are there when it begins, the same as without looking ahead; waiting is counted."""

import threading
import time

import numpy as np
import pytest
import torch

from tasks.compute.batches import Batches, Shard
from tasks.compute.feed import Feed


def feed(make, steps: int = 10, *, document_masking: bool = True) -> Feed:
    return Feed(make, device="cpu", steps=steps, document_masking=document_masking)


def shard(step: int) -> list[Shard]:
    tokens = np.array([[step, 0, 7]])
    return [Shard(tokens, tokens + 1)]


def test_shards_are_those_of_the_batches_in_any_order_of_steps():
    batches = Batches(np.arange(1000, dtype=np.uint16), sequence_length=10, batch_sequences=8, seed=1)

    def make(step: int) -> list[Shard]:
        return batches.shards(step, 4, rank=0, workers=2)

    ahead = feed(make)
    for step in (0, 1, 2, 7, 8, 3):  # a resumed run begins anywhere
        for found, expected in zip(ahead.take(step), make(step), strict=True):
            assert (found.tokens_BS.numpy() == expected.inputs).all()
            assert (found.targets_BS.numpy() == expected.targets).all()


def test_documents_are_marked_where_they_are_masked():
    [masked], [plain] = feed(shard).take(3), feed(shard, document_masking=False).take(3)
    assert masked.starts_BS.tolist() == [[0, 1, 1]]
    assert plain.starts_BS is None


def test_the_next_step_is_made_meanwhile_and_none_after_the_last():
    made, second = [], threading.Event()

    def make(step: int) -> list[Shard]:
        made.append(step)
        if step == 1:
            second.set()
        return shard(step)

    ahead = feed(make, steps=2)
    ahead.take(0)
    assert second.wait(10)
    ahead.take(1)
    ahead._pool.shutdown(wait=True)
    assert made == [0, 1]


def test_waiting_is_what_the_taker_waits():
    def slow(step: int) -> list[Shard]:
        time.sleep(0.2)
        return shard(step)

    ahead = feed(slow)
    ahead.take(0)
    first = ahead.waited_seconds
    assert first >= 0.2
    time.sleep(0.5)  # a step that takes longer than its tokens
    ahead.take(1)
    assert ahead.waited_seconds - first < 0.2


def test_what_goes_wrong_in_the_thread_is_told_to_the_taker():
    def fails(step: int) -> list[Shard]:
        if step == 1:
            raise OSError("disk gone")
        return shard(step)

    ahead = feed(fails)
    ahead.take(0)
    with pytest.raises(OSError, match="disk gone"):
        ahead.take(1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_on_a_gpu():
    [found] = Feed(shard, device="cuda", steps=5, document_masking=True).take(2)
    assert found.tokens_BS.is_cuda
    assert found.starts_BS.tolist() == [[0, 1, 1]]
