"""Cross entropy in chunks is cross entropy."""

import pytest
import torch
import torch.nn.functional as F

from tasks.algorithm import cross_entropy


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(cross_entropy, "_CHUNK_TOKENS", 3)


def inputs(n_tokens: int = 7, dtype: torch.dtype = torch.float32):
    generator = torch.Generator().manual_seed(0)
    hidden_TD = torch.randn(n_tokens, 4, generator=generator, dtype=dtype, requires_grad=True)
    weight_VD = torch.randn(11, 4, generator=generator, dtype=dtype, requires_grad=True)
    return hidden_TD, weight_VD, torch.randint(0, 11, (n_tokens,), generator=generator)


@pytest.mark.parametrize("n_tokens", [1, 3, 7])
def test_loss_and_gradients(n_tokens):
    hidden_TD, weight_VD, targets_T = inputs(n_tokens)
    found = cross_entropy.linear_cross_entropy(hidden_TD, weight_VD, targets_T)
    expected = F.cross_entropy(hidden_TD @ weight_VD.T, targets_T, reduction="sum")
    torch.testing.assert_close(found, expected)
    # A factor on the loss must reach the gradients made in forward.
    for mine, theirs in zip(
        torch.autograd.grad(3 * found, (hidden_TD, weight_VD)),
        torch.autograd.grad(3 * expected, (hidden_TD, weight_VD)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs)


def test_frozen_head_gets_no_gradient():
    hidden_TD, weight_VD, targets_T = inputs()
    cross_entropy.linear_cross_entropy(hidden_TD, weight_VD.detach(), targets_T).backward()
    assert hidden_TD.grad is not None


def test_tokens_alone_add_up_to_the_loss():
    hidden_TD, weight_VD, targets_T = inputs()
    nats_T = cross_entropy.token_cross_entropy(hidden_TD, weight_VD, targets_T)
    torch.testing.assert_close(nats_T, F.cross_entropy(hidden_TD @ weight_VD.T, targets_T, reduction="none"))
    torch.testing.assert_close(nats_T.sum(), cross_entropy.linear_cross_entropy(hidden_TD, weight_VD, targets_T))


def test_probability_that_rounds_to_zero_has_a_finite_loss_by_hand():
    # Logits 0 and 200: e ** -200 is no fp32 number, but the loss is 200.
    hidden_TD, weight_VD = torch.tensor([[1.0]]), torch.tensor([[0.0], [200.0]], requires_grad=True)
    loss = cross_entropy.linear_cross_entropy(hidden_TD, weight_VD, torch.tensor([0]))
    loss.backward()
    assert loss.item() == 200.0
    assert weight_VD.grad.flatten().tolist() == [-1.0, 1.0]
