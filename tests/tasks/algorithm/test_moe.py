"""Tokens go to the experts of their highest biased scores, every one of them, weighted by their scores alone."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.algorithm.moe import Pairs, Router, _Collect, _ExpertByExpert, _Spread
from tasks.algorithm.swiglu import swiglu


def make_router(tiny, scores: list[float], bias: list[float], **values) -> tuple[Router, Tensor]:
    """A router, and a token that it gives these scores."""
    router = Router(tiny.shape(n_experts=len(scores), **values))
    x_TD = torch.zeros(1, 16)
    x_TD[0, 0] = 1.0
    with torch.no_grad():
        router.weight.zero_()
        router.weight[:, 0] = torch.tensor(scores).logit()
        router.e_score_correction_bias.copy_(torch.tensor(bias))
    return router, x_TD


def test_the_bias_chooses_and_the_score_weighs(tiny):
    router, x_TD = make_router(tiny, [0.5, 0.4, 0.3, 0.1], [0.0, 0.0, 0.2, 0.0], top_k=2, routed_scaling_factor=2.5)
    weights_TK, routing = router(x_TD)
    chosen_TK = routing.chosen_TK
    found = dict(zip(chosen_TK[0].tolist(), weights_TK[0].tolist(), strict=True))
    # 0.3 + 0.2 beats 0.4; shares of 0.5 and 0.3, times the factor.
    assert found == pytest.approx({0: 2.5 * 0.5 / 0.8, 2: 2.5 * 0.3 / 0.8})


def test_only_experts_of_the_best_groups_are_chosen(tiny):
    # Best expert in group 1 (0.9), but the sums of the best two are 0.95, 1.1, 0.6, 1.0: groups 1 and 3 stay open.
    scores = [0.5, 0.45, 0.9, 0.2, 0.3, 0.3, 0.5, 0.5]
    router, x_TD = make_router(tiny, scores, [0.0] * 8, top_k=3, n_groups=4, top_k_groups=2)
    assert set(router(x_TD)[1].chosen_TK[0].tolist()) == {2, 6, 7}


def test_experts_give_the_sum_that_a_loop_over_tokens_gives(tiny):
    shape = tiny.shape(n_experts=8, top_k=3, routed_scaling_factor=1.7)
    moe = tiny.model(shape).model.layers[1].mlp
    x_TD = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    counts_E = torch.zeros(8, dtype=torch.int64)
    found_TD, _ = moe(x_TD, counts_E)
    weights_TK, routing = moe.gate(x_TD)
    chosen_TK = routing.chosen_TK
    for x, weights, chosen, found in zip(x_TD, weights_TK, chosen_TK, found_TD, strict=True):
        expected = moe.shared_experts(x[None])[0]
        for weight, expert in zip(weights, chosen, strict=True):
            gate, up = (moe.experts.gate_up_proj[expert] @ x).chunk(2)
            expected = expected + weight * (moe.experts.down_proj[expert] @ (F.silu(gate) * up))
        torch.testing.assert_close(found, expected)
    assert counts_E.tolist() == [(chosen_TK == expert).sum() for expert in range(8)]
    moe(x_TD, counts_E)
    assert counts_E.sum() == 2 * 5 * 3


def test_pairs_by_hand():
    pairs = Pairs(torch.tensor([[2, 0], [0, 3], [2, 3]]), n_experts=4)
    assert pairs.token_P.tolist() == [0, 1, 0, 2, 1, 2]
    assert pairs.ends_E.tolist() == [2, 2, 4, 6]
    x_TD = torch.tensor([[1.0], [10.0], [100.0]])
    spread_PD = pairs.spread(x_TD)
    assert spread_PD.flatten().tolist() == [1, 10, 1, 100, 10, 100]
    assert pairs.collect(spread_PD).flatten().tolist() == [2, 20, 200]


def test_pairs_filled_up_by_hand():
    pairs = Pairs(torch.tensor([[2, 0], [0, 3], [2, 3]]), n_experts=4, multiple=3)
    assert pairs.token_P.tolist() == [0, 1, 0, 0, 2, 0, 1, 2, 0]
    assert pairs.segments() == [(0, slice(0, 3)), (2, slice(3, 6)), (3, slice(6, 9))]
    assert pairs.counts_E.tolist() == [2, 0, 2, 2]
    weights_P = pairs.weigh(torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]))
    assert weights_P.tolist() == [2, 3, 0, 1, 5, 0, 4, 6, 0]
    assert pairs.collect(pairs.spread(torch.tensor([[1.0], [10.0], [100.0]]))).flatten().tolist() == [2, 20, 200]


def test_gradients_of_the_hand_written_parts():
    def numbers(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)

    pairs = Pairs(torch.tensor([[2, 0], [0, 3], [2, 3]]), n_experts=4)
    assert torch.autograd.gradcheck(lambda x: _Spread.apply(x, pairs), numbers(3, 2))
    assert torch.autograd.gradcheck(lambda y: _Collect.apply(y, pairs), numbers(6, 2))
    filled = Pairs(torch.tensor([[2, 0], [0, 3], [2, 3]]), n_experts=4, multiple=3)
    inputs = numbers(3, 2), numbers(3, 2), numbers(4, 6, 2), numbers(4, 2, 3)
    assert torch.autograd.gradcheck(lambda *values: _ExpertByExpert.apply(*values, filled), inputs)
    assert torch.autograd.gradcheck(swiglu, (numbers(3, 8), numbers(3)))
    assert torch.autograd.gradcheck(swiglu, numbers(3, 8))


def test_swiglu_is_its_formula():
    h_PF = torch.tensor([[1.0, -2.0, 3.0, 4.0]])
    silu = [1 / (1 + torch.e**-1), -2 / (1 + torch.e**2)]
    torch.testing.assert_close(swiglu(h_PF), torch.tensor([[silu[0] * 3, silu[1] * 4]]))
    torch.testing.assert_close(swiglu(h_PF, torch.tensor([0.5])), swiglu(h_PF) / 2)


def test_experts_without_tokens_have_no_gradient_and_harm_nothing(tiny):
    shape = tiny.shape(n_experts=16, top_k=1)
    moe = tiny.model(shape).model.layers[1].mlp
    counts_E = torch.zeros(16, dtype=torch.int64)
    moe(torch.ones(1, 16), counts_E)[0].sum().backward()
    [busy] = counts_E.nonzero().flatten().tolist()
    touched = moe.experts.down_proj.grad.flatten(1).any(dim=1)
    assert touched.nonzero().flatten().tolist() == [busy]
    assert moe.experts.down_proj.grad.isfinite().all()
