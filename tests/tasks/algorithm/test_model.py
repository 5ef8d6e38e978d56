"""A model's start, loss, balance and file are the same bits each time."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tasks.algorithm.model import Model, load_weights, save_weights
from tasks.compute.batches import Shard


def test_same_seed_same_weights_and_another_seed_others(tiny):
    one, two, other = Model(tiny.shape()), Model(tiny.shape()), Model(tiny.shape())
    torch.manual_seed(1)
    one.init_weights(3)
    torch.manual_seed(2)
    two.init_weights(3)
    other.init_weights(4)
    for (name, a), b, c in zip(one.named_parameters(), two.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert a.dim() == 1 or not torch.equal(a, c), name


def test_start_is_near_uniform_over_the_vocabulary(tiny):
    shape = tiny.shape(vocab_size=500)
    model = Model(shape)
    model.init_weights(0)
    tokens = tiny.tokens(shape, 4, 16)
    assert model.loss(tokens, tokens).item() / tokens.numel() == pytest.approx(math.log(500), rel=0.02)


def test_loss_is_the_cross_entropy_of_the_logits(tiny):
    shape = tiny.shape()
    model, tokens, targets = tiny.model(shape), tiny.tokens(shape, 3, 9), tiny.tokens(shape, 3, 9, seed=1)
    nats = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), reduction="none").view(3, 9)
    torch.testing.assert_close(model.loss(tokens, targets), nats.sum())
    torch.testing.assert_close(model.nats(tokens, targets), nats)


def test_a_token_does_not_change_what_stands_before_it(tiny):
    shape = tiny.shape()
    model, tokens = tiny.model(shape), tiny.tokens(shape, 1, 12)
    changed = tokens.clone()
    changed[0, 8] = (changed[0, 8] + 1) % shape.vocab_size
    before, after = model(tokens), model(changed)
    torch.testing.assert_close(before[:, :8], after[:, :8])
    assert not torch.allclose(before[:, 8:], after[:, 8:])


def packed(*documents: list[int], length: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Documents in one window, each after an end-of-text token: inputs, targets, starts."""
    stream = [token for document in documents for token in [0, *document]] + [0]
    window = np.array([stream[: length + 1]])
    shard = Shard(window[:, :-1], window[:, 1:])
    return tuple(torch.from_numpy(part) for part in (shard.inputs, shard.targets, shard.starts))


DOCUMENTS = [5, 9, 3, 7], [8], [11, 4, 4, 2, 6, 6, 1, 30]


def test_documents_in_a_window_cost_what_they_cost_alone(tiny):
    model = tiny.model(tiny.shape())
    together = model.loss(*packed(*DOCUMENTS))
    alone = [model.loss(*packed(document, length=len(document) + 1)) for document in DOCUMENTS]
    torch.testing.assert_close(together, torch.stack(alone).sum())
    assert not torch.isclose(model.loss(*packed(*DOCUMENTS)[:2]), together)


def test_neither_the_order_of_documents_nor_of_windows_changes_the_loss(tiny):
    model = tiny.model(tiny.shape(n_experts=8, top_k=3))
    orders = [packed(*(DOCUMENTS[i] for i in order)) for order in itertools.permutations(range(3))]
    losses = [model.loss(*each) for each in orders]
    torch.testing.assert_close(torch.stack(losses), losses[0].expand(6))
    inputs, targets, starts = (torch.cat(parts) for parts in zip(*orders, strict=True))
    turned = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(
        model.loss(inputs, targets, starts), model.loss(inputs[turned], targets[turned], starts[turned])
    )


def test_gradients_are_the_same_bits_twice(tiny):
    shape = tiny.shape(n_layers=3, n_experts=8, top_k=3)
    runs = []
    for _ in range(2):
        model, tokens = tiny.model(shape), tiny.tokens(shape, 8, 16)
        model.loss(tokens, tokens).backward()
        runs.append([weight.grad for weight in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_experts_are_counted_until_taken(tiny):
    shape = tiny.shape(n_layers=3, top_k=2)
    model, tokens = tiny.model(shape), tiny.tokens(shape, 2, 5)
    model(tokens)
    model(tokens)
    counts_LE = model.take_expert_counts()
    assert counts_LE.shape == (2, 4)
    assert counts_LE.dtype == torch.int64
    assert counts_LE.sum(dim=1).tolist() == [2 * 10 * 2] * 2
    assert not model.take_expert_counts().any()


def test_balance_by_hand(tiny):
    shape = tiny.shape(n_layers=2, n_dense_layers=1)
    model = tiny.model(shape)
    gate = model.model.layers[1].mlp.gate
    before = gate.e_score_correction_bias.clone()
    # Mean 3: the first has more, the second less, the others exactly that.
    model.balance(torch.tensor([[5, 1, 3, 3]]), rate=0.25)
    assert (gate.e_score_correction_bias - before).tolist() == pytest.approx([-0.25, 0.25, 0.0, 0.0])


def test_balancing_evens_the_load(tiny):
    shape = tiny.shape(n_experts=8, top_k=2)
    model, tokens = tiny.model(shape), tiny.tokens(shape, 16, 16)

    def busiest() -> float:
        model(tokens)
        counts_LE = model.take_expert_counts()
        model.balance(counts_LE, rate=0.01)
        return (counts_LE.max() / counts_LE.float().mean()).item()

    first = busiest()
    last = [busiest() for _ in range(100)][-1]
    assert last < 1.3 < first


def test_saved_and_loaded_weights_are_the_same(tiny, tmp_path):
    shape = tiny.shape()
    model = tiny.model(shape)
    for name in ("one", "two"):
        save_weights(model.state_dict(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    loaded, tokens = load_weights(shape, tmp_path / "one"), tiny.tokens(shape, 2, 8)
    assert torch.equal(loaded(tokens), model(tokens))


def test_weights_of_another_shape_are_refused(tiny, tmp_path):
    save_weights(tiny.model(tiny.shape()).state_dict(), tmp_path / "weights")
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_weights(tiny.shape(width=24), tmp_path / "weights")


def test_sequence_longer_than_the_rotations_is_refused(tiny):
    with pytest.raises(ValueError, match=r"at most 16 tokens expected .*, found 17; cut them"):
        Model(tiny.shape())(torch.zeros(1, 17, dtype=torch.int64))
