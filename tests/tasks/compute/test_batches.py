"""Which windows of the stream a step trains on."""

from pathlib import Path

import numpy as np
import pytest

from tasks.compute.batches import Batches, Shard, check_stream, open_stream
from tasks.report import StepError
from tests.packed import write_stream


def make(tokens: int = 1000, **values) -> Batches:
    return Batches(
        np.arange(tokens, dtype=np.uint16), **{"sequence_length": 10, "batch_sequences": 8, "seed": 1} | values
    )


def test_targets_are_inputs_moved_by_one():
    batches = make()
    [shard] = batches.shards(0, 1, rank=0, workers=1)
    inputs, targets = shard.inputs, shard.targets
    assert inputs.shape == targets.shape == (8, 10)
    # The stream counts up, so each target is its input plus one.
    assert (targets == inputs + 1).all()
    assert (inputs[:, 0] == batches.offsets(0)).all()


def test_a_document_begins_with_the_end_of_the_one_before():
    inputs_BS = np.array([[7, 8, 0, 9, 9, 0, 0, 5], [0, 1, 2, 3, 4, 5, 6, 0]])
    starts_BS = Shard(inputs_BS, inputs_BS).starts
    assert starts_BS.tolist() == [[0, 0, 2, 2, 2, 5, 6, 6], [0, 0, 0, 0, 0, 0, 0, 7]]


def test_an_epoch_sees_each_window_once():
    batches = make(batch_sequences=7)
    assert batches.windows == 98  # 999 targets make 99 windows; one less, so that the first may start anywhere
    starts = np.concatenate([batches.offsets(step) for step in range(14)])
    assert len(set(starts.tolist())) == 98
    assert set(np.diff(np.sort(starts))) == {10}


def test_epochs_cut_the_text_at_different_places():
    batches = make(batch_sequences=98)
    phases = {int(batches.offsets(epoch).min()) for epoch in range(20)}
    assert len(phases) > 5
    assert all(batches.offsets(epoch).max() + 10 < 1000 for epoch in range(20))


def test_a_step_is_a_function_of_its_number():
    straight = make()
    for step in range(40):
        straight.offsets(step)
    assert (make().offsets(40) == straight.offsets(40)).all()
    assert (make(seed=2).offsets(40) != straight.offsets(40)).any()


def test_a_batch_may_span_epochs():
    # 3 windows an epoch, 8 sequences a batch: numbers 0 to 7 are two epochs and two thirds.
    batches = make(tokens=41)
    assert batches.windows == 3
    counts = np.unique(batches.offsets(0)[:6], return_counts=True)[1]
    assert counts.sum() == 6
    assert len(batches.offsets(0)) == 8


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_share_a_batch_in_order(workers: int):
    batches = make()
    whole = [shard.inputs for shard in batches.shards(3, 4, rank=0, workers=1)]
    ranks = (batches.shards(3, 4, rank=rank, workers=workers) for rank in range(workers))
    shared = [shard.inputs for shards in ranks for shard in shards]
    assert len(shared) == 4
    assert (np.concatenate(shared) == np.concatenate(whole)).all()


def test_too_little_data_says_what_would_help():
    with pytest.raises(StepError, match=r"has 64 tokens, one batch needs 65.*discover.sources.*train.batch_tokens"):
        check_stream(np.zeros(64, np.uint16), vocab_size=300, batch_tokens=64)


def test_a_token_that_the_model_does_not_know_is_refused():
    stream = np.zeros(100, np.uint16)
    stream[70] = 300
    with pytest.raises(StepError, match=r"token 300.*tokens 0 to 299"):
        check_stream(stream, vocab_size=300, batch_tokens=64)
    check_stream(stream, vocab_size=301, batch_tokens=64)


def test_a_file_that_is_no_stream_is_refused(tmp_path: Path):
    with pytest.raises(StepError, match="pack"):
        open_stream(tmp_path)
    write_stream(tmp_path, [1, 2], [3])
    file = tmp_path / "train" / "part1.npy"
    for content, said in ((np.zeros((2, 2)), "float64"), (np.zeros(2, np.uint16), r"flat stream of 1 .*\(2,\)"),
                          (np.zeros(1, np.uint32), "one type")):  # fmt: skip
        np.save(file, content)
        with pytest.raises(StepError, match=said):
            open_stream(tmp_path)
    file.write_bytes(b"no numbers")
    with pytest.raises(StepError, match="pack"):
        open_stream(tmp_path)


def test_windows_of_a_stream_in_pieces_are_those_of_the_stream(tmp_path: Path):
    whole = np.random.default_rng(1).integers(0, 300, 1000).astype(np.uint16)
    write_stream(tmp_path, whole[:7], whole[7:8], whole[8:400], whole[400:])
    mine, theirs = (Batches(stream, 10, 8, 1) for stream in (open_stream(tmp_path), whole))
    for step in range(30):
        pairs = zip(mine.shards(step, 2, rank=0, workers=1), theirs.shards(step, 2, rank=0, workers=1), strict=True)
        for one, other in pairs:
            assert (one.inputs == other.inputs).all()
            assert (one.targets == other.targets).all()
