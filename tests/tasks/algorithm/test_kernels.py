"""Compiled passes are their formulas in fp32."""

import numpy as np
import pytest
import torch

from tasks.algorithm import causal, kernels, swiglu
from tasks.algorithm.cross_entropy import token_cross_entropy
from tasks.algorithm.norm import RMSNorm


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_exponential_is_exact_to_the_last_bits():
    xs = np.linspace(-86, 87, 10_001, dtype=np.float32)
    found = np.array([kernels._exp(x) for x in xs])
    np.testing.assert_allclose(found, np.exp(xs.astype(np.float64)), rtol=2e-7)


def test_swiglu_and_its_gradients_are_those_in_double():
    inputs = random(7, 26) * 5, random(7, seed=1), random(7, 13, seed=2)
    doubles = [t.double() for t in inputs]
    torch.testing.assert_close(swiglu.product(*inputs[:2]).double(), swiglu.product(*doubles[:2]), atol=1e-6, rtol=1e-6)
    for mine, expected in zip(swiglu.gradients(*inputs), swiglu.gradients(*doubles), strict=True):
        torch.testing.assert_close(mine.double(), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("starts", [None, [[0] * 150, [0] * 70 + [70] * 80]])
def test_attention_is_that_in_double(starts):
    starts_BS = None if starts is None else torch.tensor(starts)
    inputs = [(20 * random(2, 150, 3, n, seed=n)).requires_grad_() for n in (10, 10, 7)]
    doubles = [t.detach().double().requires_grad_() for t in inputs]
    found, expected = (causal.causal_attention(*each, 0.01, starts_BS) for each in (inputs, doubles))
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-4)
    grad = random(2, 150, 3, 7, seed=9)
    mine, theirs = torch.autograd.grad(found, inputs, grad), torch.autograd.grad(expected, doubles, grad.double())
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("place", [0, 5, 30])
def test_a_number_that_is_none_stays_none(place):
    """Training stops at a loss that is no number: compiled passes must not lose it, whatever `fastmath` allows."""
    spoilt = random(1, 32, 2, 8)
    spoilt[0, place, 0, 0] = torch.nan
    sound = random(1, 32, 2, 8, seed=1)
    assert causal.causal_attention(spoilt, sound, sound, 0.3)[0, place, 0].isnan().all()
    assert causal.causal_attention(sound, spoilt, sound, 0.3)[0, place:, 0].isnan().all()
    row = random(4, 32)
    row[1, place] = torch.nan
    assert swiglu.swiglu(row)[1].isnan().any()
    assert RMSNorm(32, 1e-6)(row)[1].isnan().all()
    targets = torch.tensor([3, 9, 3, 3])
    assert token_cross_entropy(row, random(64, 32), targets).isnan().tolist() == [False, True, False, False]
