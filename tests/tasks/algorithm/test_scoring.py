"""Each token of a document costs the bits that the model says, once; samples repeat with their seed."""

import math

import numpy as np
import pytest
import torch

from tasks.algorithm.scoring import _windows, count_windows, document_bits, generate


def documents(tiny, *lengths: int) -> list[np.ndarray]:
    shape = tiny.shape()
    return [tiny.tokens(shape, 1, n, seed=n)[0].numpy().astype(np.uint16) for n in lengths]


def test_short_document_is_its_log_likelihood_after_end_of_text(tiny):
    model = tiny.model(tiny.shape())
    [document] = documents(tiny, 5)
    tokens = document.astype(int).tolist()
    log_p = model(torch.tensor([[0, *tokens[:-1]]])).log_softmax(-1)[0]
    expected = -sum(log_p[i, token].item() for i, token in enumerate(tokens)) / math.log(2)
    assert document_bits(model, [document]).tolist() == pytest.approx([expected], rel=1e-5)


def test_long_document_by_hand(tiny):
    # Sequences of 16 with an overlap of 4: predictions 0-15, then 16-27 seen from 12, then 28-29 seen from 24.
    model = tiny.model(tiny.shape())
    [document] = documents(tiny, 30)
    tokens = torch.tensor([0, *document.astype(int).tolist()])
    expected = 0.0
    for start, first, end in [(0, 0, 16), (12, 16, 28), (24, 28, 30)]:
        log_p = model(tokens[None, start:end]).log_softmax(-1)[0]
        expected -= sum(log_p[i - start, tokens[i + 1]].item() for i in range(first, end))
    assert document_bits(model, [document])[0] == pytest.approx(expected / math.log(2), rel=1e-5)


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 24, 25, 100])
def test_every_token_is_counted_once_with_the_context_it_may_have(tiny, length):
    counted = []
    for window in _windows([np.arange(1, length + 1)], 16):
        assert len(window.tokens) <= 17
        for i in range(window.skip, len(window.tokens) - 1):
            counted.append(window.tokens[i + 1])
            assert i + 1 >= min(window.start + i + 1, 4)
    assert counted == list(range(1, length + 1))


def test_windows_are_counted_and_progress_ends_with_all(tiny):
    model, given, seen = tiny.model(tiny.shape()), documents(tiny, 3, 40, 16), []
    document_bits(model, given, on_progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == count_windows(given, 16) == 1 + 3 + 1


def test_bits_of_a_document_do_not_depend_on_the_others(tiny):
    model, given = tiny.model(tiny.shape()), documents(tiny, 33, 7, 16, 80)
    together = document_bits(model, given)
    alone = [document_bits(model, [document])[0] for document in given]
    assert together.tolist() == pytest.approx(alone, rel=1e-5)
    assert document_bits(model, given).tobytes() == together.tobytes()


def test_expert_load_counts_no_padding(tiny):
    model = tiny.model(tiny.shape())
    document_bits(model, documents(tiny, 3, 9))
    assert model.take_expert_counts().sum() == (3 + 9) * 2


def test_no_documents_no_bits(tiny):
    assert document_bits(tiny.model(tiny.shape()), []).shape == (0,)


def write(model, prompt, n_tokens=12, temperature=1.0, seed=0) -> list[int]:
    generator = torch.Generator().manual_seed(seed)
    return generate(model, prompt, n_tokens=n_tokens, temperature=temperature, generator=generator)


def test_same_seed_same_sample(tiny):
    model = tiny.model(tiny.shape())
    assert write(model, [3, 4]) == write(model, [3, 4])
    assert write(model, [3, 4]) != write(model, [3, 4], seed=1)


def test_temperature_zero_takes_the_likeliest(tiny):
    model = tiny.model(tiny.shape())
    [first] = write(model, [3, 4], n_tokens=1, temperature=0.0)
    assert first == model(torch.tensor([[0, 3, 4]]))[0, -1].argmax()


def test_sample_goes_on_beyond_the_sequence_and_sees_its_last_tokens(tiny):
    model = tiny.model(tiny.shape())
    with torch.no_grad():
        model.lm_head.weight[0] = 0.0
        # End of text is never the likeliest: its logit is 0, and some other is positive.
    long = write(model, [5], n_tokens=40, temperature=0.0)
    assert len(long) == 40
    assert long[-1] == model(torch.tensor([long[-17:-1]]))[0, -1].argmax()


def test_end_of_text_ends_a_sample(tiny):
    model = tiny.model(tiny.shape())
    with torch.no_grad():
        model.lm_head.weight.zero_()
    assert write(model, [5], temperature=0.0) == []
