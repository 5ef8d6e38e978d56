"""The router's losses are their papers' sums, do what they are for, and are nothing unless asked for."""

import math

import pytest
import torch

from tasks.algorithm.routing import Routing
from tasks.params import parse


def training(**values):
    return parse({"blueprint": {"preset": "nano"}, "discover": {"sources": ["x"]}, "train": values}).train


def routing(logits_TE: torch.Tensor, top_k: int) -> Routing:
    scores_TE = logits_TE.sigmoid()
    return Routing(logits_TE, scores_TE, scores_TE.topk(top_k, dim=-1).indices)


def test_balance_loss_is_a_loop_over_equations_17_to_20():
    logits_TE = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    one = routing(logits_TE, top_k=2)
    expected = 0.0
    for sequence in range(3):
        rows = range(4 * sequence, 4 * sequence + 4)
        for expert in range(5):
            f = 5 / (2 * 4) * sum(expert in one.chosen_TK[t].tolist() for t in rows)
            p = sum((one.scores_TE[t, expert] / one.scores_TE[t].sum()).item() for t in rows) / 4
            expected += f * p * 4  # a mean over tokens, times them
    assert one.balance_loss(3).item() == pytest.approx(expected)


def test_even_use_of_experts_costs_one_a_token():
    even_TE = torch.eye(4).repeat(2, 1)
    assert routing(even_TE * 20, top_k=1).balance_loss(2).item() == pytest.approx(8, rel=1e-3)
    assert routing(torch.eye(4)[[0] * 8] * 20, top_k=1).balance_loss(2).item() > 8


def test_z_loss_by_hand():
    logits_TE = torch.tensor([[0.0, 0.0], [1.0, 2.0]])
    expected = math.log(2) ** 2 + math.log(math.e + math.e**2) ** 2
    assert routing(logits_TE, top_k=1).z_loss().item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["balance_loss", "z_loss"])
def test_a_step_along_the_gradient_lowers_a_loss(tiny, name):
    shape = tiny.shape(n_experts=8, top_k=2)
    model, tokens = tiny.model(shape), tiny.tokens(shape, 4, 16)
    off, on = training(), training(**{name: 1.0})

    def objective(chosen) -> torch.Tensor:
        return model.objective(tokens, tokens, None, chosen, recompute=False)[0]

    gate = model.model.layers[1].mlp.gate.weight
    before = objective(on) - objective(off)
    (gradient,) = torch.autograd.grad(before, gate)
    with torch.no_grad():
        gate -= 0.01 * gradient / gradient.norm()
    assert (objective(on) - objective(off)).item() < before.item()


def test_losses_do_not_depend_on_what_else_is_in_the_batch(tiny):
    shape = tiny.shape(n_experts=8, top_k=2)
    model, tokens = tiny.model(shape), tiny.tokens(shape, 4, 16)
    chosen = training(balance_loss=0.5, z_loss=0.5)
    whole = model.objective(tokens, tokens, None, chosen, recompute=False)[0]
    parts = [model.objective(row, row, None, chosen, recompute=False)[0] for row in tokens.split(1)]
    torch.testing.assert_close(whole, torch.stack(parts).sum())
    turned = tokens[[2, 0, 3, 1]]
    torch.testing.assert_close(whole, model.objective(turned, turned, None, chosen, recompute=False)[0])


def test_without_weights_the_objective_is_the_loss(tiny):
    shape = tiny.shape()
    model, tokens = tiny.model(shape), tiny.tokens(shape, 4, 16)
    objective, nats, further = model.objective(tokens, tokens, None, training(), recompute=False)
    assert objective.item() == nats.item() == model.loss(tokens, tokens).item()
    assert further.item() == 0
