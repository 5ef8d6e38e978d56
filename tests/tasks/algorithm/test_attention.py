"""Rotations, norms and causal attention are their formulas, gradients included."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.algorithm import causal
from tasks.algorithm.attention import _Heads, rotate, rotations
from tasks.algorithm.norm import RMSNorm


def numbers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype, requires_grad=True)


def test_rotation_by_hand():
    # Two pairs; their frequencies are 1 and 100 ** -0.5. At position 3 they have turned by 3 and 0.3 radians.
    turned = rotate(torch.tensor([1.0, 0.0, 0.0, 2.0]).view(1, 1, 1, 4), rotations(4, 4, 100.0)[3:])
    expected = torch.tensor([math.cos(3), math.sin(3), -2 * math.sin(0.3), 2 * math.cos(0.3)])
    torch.testing.assert_close(turned.flatten(), expected)


def test_rotated_product_depends_on_the_distance_alone():
    q, k = numbers(1, 1, 1, 8, dtype=torch.float32), numbers(1, 1, 1, 8, seed=1, dtype=torch.float32)
    turns = rotations(32, 8, 10_000.0)
    near = (rotate(q, turns[5:6]) * rotate(k, turns[2:3])).sum()
    far = (rotate(q, turns[25:26]) * rotate(k, turns[22:23])).sum()
    torch.testing.assert_close(near, far)


def test_gradient_of_rotation():
    turns = rotations(3, 2, 10_000.0).to(torch.complex128)

    def in_double(q: Tensor, k: Tensor, own: Tensor) -> tuple[Tensor, ...]:
        return _Heads.apply(q, k, own, turns)

    inputs = numbers(2, 3, 2, 6), numbers(2, 3, 2, seed=1), numbers(2, 3, 2, 7, seed=2)
    # `rotate` works in fp32 whatever comes in, as numbers of fewer bits would blur far positions.
    assert torch.autograd.gradcheck(in_double, inputs, eps=1e-2, atol=1e-3)


def test_norm_is_that_of_torch_with_its_gradient():
    norm = RMSNorm(6, 1e-5).double()
    x = numbers(2, 3, 6)
    with torch.no_grad():
        norm.weight.copy_(numbers(6, seed=1))
    torch.testing.assert_close(norm(x), F.rms_norm(x, (6,), norm.weight, 1e-5))
    assert torch.autograd.gradcheck(lambda x, _: norm(x), (x, norm.weight))


@pytest.mark.parametrize("length", [1, 63, 64, 65, 130])
def test_attention_in_blocks_is_attention(length):
    q, k, v = (numbers(2, length, 3, n, seed=n) for n in (10, 10, 7))
    if length > 1:
        q.data[0, -1], k.data[0, -1] = 0, 50.0
    found = causal.causal_attention(q, k, v, 0.4)
    expected = F.scaled_dot_product_attention(
        *(t.transpose(1, 2) for t in (q, k, v)), is_causal=True, scale=0.4
    ).transpose(1, 2)
    torch.testing.assert_close(found, expected)
    grad = numbers(2, length, 3, 7, seed=9).detach()
    for mine, theirs in zip(
        torch.autograd.grad(found, (q, k, v), grad), torch.autograd.grad(expected, (q, k, v), grad), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_a_position_does_not_see_the_future():
    q, k, v = (numbers(1, 100, 1, 4, seed=n).detach() for n in range(3))
    before = causal.causal_attention(q, k, v, 0.5)
    k[:, 70:] += 1
    v[:, 70:] += 1e6
    after = causal.causal_attention(q, k, v, 0.5)
    assert torch.equal(before[:, :70], after[:, :70])
    assert not torch.isclose(before[:, 70:], after[:, 70:]).any()


def test_without_gradient_no_probabilities_are_kept(monkeypatch):
    kept = []
    with torch.no_grad(), torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        causal.causal_attention(*(numbers(1, 8, 1, 4) for _ in range(3)), 0.5)
    assert not kept


STARTS = {
    "one each": [[0] * 130, [0] * 130],
    "several": [[0] * 10 + [10] * 50 + [60] * 70, [0] * 64 + [64] * 64 + [128] * 2],
    "single tokens": [[*range(100)] + [100] * 30, [0] * 129 + [129]],
}


@pytest.mark.parametrize("attention", [causal.causal_attention, causal.fused_attention])
@pytest.mark.parametrize("starts", STARTS.values(), ids=list(STARTS))
def test_documents_of_a_sequence_are_attended_to_apart(starts, attention):
    q, k, v = (numbers(2, 130, 3, n, seed=n) for n in (10, 10, 7))
    found = attention(q, k, v, 0.4, torch.tensor(starts))
    grad = numbers(2, 130, 3, 7, seed=9).detach()
    gradients = torch.autograd.grad(found, (q, k, v), grad)
    for row, starts_S in enumerate(starts):
        for start in set(starts_S):
            one = (slice(row, row + 1), slice(start, start + starts_S.count(start)))
            parts = [t[one].detach().requires_grad_() for t in (q, k, v)]
            alone = causal.causal_attention(*parts, 0.4)
            torch.testing.assert_close(found[one], alone)
            for mine, theirs in zip(gradients, torch.autograd.grad(alone, parts, grad[one]), strict=True):
                torch.testing.assert_close(mine[one], theirs)


def test_keys_of_documents_before_a_block_are_not_read():
    q, k, v = (numbers(1, 128, 1, 4, seed=n).detach() for n in range(3))
    starts = torch.tensor([[0] * 64 + [64] * 64])
    k[:, :64] = torch.nan  # a product with them, masked or not, would be no number
    assert causal.causal_attention(q, k, v, 0.5, starts)[:, 64:].isfinite().all()


def test_bounds_of_documents_by_hand():
    starts = torch.tensor([[0, 0, 2, 2], [0, 1, 1, 1]])
    assert causal.document_bounds(starts).tolist() == [0, 2, 4, 5, 8]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_documents_on_a_gpu_are_those_of_the_mask():
    q, k, v = (numbers(2, 130, 3, n, seed=n).detach().bfloat16().cuda() for n in (16, 16, 8))
    starts = torch.tensor(STARTS["several"]).cuda()
    found = causal.fused_attention(q, k, v, 0.25, starts)
    expected = causal.fused_attention(*(t.float() for t in (q, k, v)), 0.25, starts)
    torch.testing.assert_close(found.float(), expected, atol=0.02, rtol=0.02)
