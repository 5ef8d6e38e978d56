"""Muon makes orthogonal steps, AdamW does the rest, and both go on from a state as if never stopped."""

import math
from copy import deepcopy

import pytest
import torch

from tasks.algorithm import optimizer
from tasks.algorithm.optimizer import build_optimizer, clip_gradients, orthogonalize, schedule
from tasks.params import PRESETS, Train


def training(**values) -> Train:
    return Train(**(PRESETS["nano"]["train"] | values))


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(3, 16, 16), (2, 8, 32), (2, 32, 8), (1, 1, 5)])
def test_orthogonalize_keeps_directions_and_evens_their_sizes(size):
    matrices = random(*size)
    found = orthogonalize(matrices)
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    strong = s > 0.1 * s[:, :1]
    sizes = torch.linalg.vecdot(u, found @ vh.mT, dim=-2)
    assert ((sizes > 0.6) & (sizes < 1.3))[strong].all()
    torch.testing.assert_close(found, u @ torch.diag_embed(sizes) @ vh, atol=1e-4, rtol=1e-3)


def test_orthogonalize_in_chunks_is_the_same(monkeypatch):
    matrices = random(7, 8, 16)
    whole = orthogonalize(matrices)
    monkeypatch.setattr(optimizer, "_CHUNK_BYTES", 2 * matrices[0].nbytes)
    torch.testing.assert_close(orthogonalize(matrices), whole)


def test_zero_gradient_makes_no_step():
    assert not orthogonalize(torch.zeros(2, 4, 4)).any()


def test_experts_and_halves_are_orthogonalized_each_alone(tiny):
    # One expert's gradient a thousand times the others', and of its halves up a thousand times gate: all move alike.
    model = tiny.model(tiny.shape(dense_ffn_width=16))
    chosen = build_optimizer(model, training(weight_decay=0.0, learning_rate=1.0))
    experts, dense = model.model.layers[1].mlp.experts, model.model.layers[0].mlp
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    experts.gate_up_proj.grad = random(4, 16, 16) * torch.tensor([1.0, 1e3, 1.0, 1.0]).view(4, 1, 1)
    dense.gate_up_proj.weight.grad = random(32, 16)
    dense.gate_up_proj.weight.grad[16:] *= 1e3
    before = [weight.detach().clone() for weight in (experts.gate_up_proj, dense.gate_up_proj.weight)]
    chosen.step(1.0)
    moved_EFD, moved_FD = experts.gate_up_proj - before[0], dense.gate_up_proj.weight - before[1]
    sizes = [part.norm().item() for expert in moved_EFD for part in expert.chunk(2)]
    assert max(sizes) < 1.3 * min(sizes)
    gate, up = (part.norm().item() for part in moved_FD.chunk(2))
    assert gate == pytest.approx(up, rel=0.2)


def test_first_adamw_step_by_hand(tiny):
    # After one step AdamW's moments are the gradient itself: it moves by the rate, whatever the gradient's size.
    model = tiny.model(tiny.shape())
    chosen = build_optimizer(model, training(adamw_learning_rate=0.01))
    before = model.model.norm.weight.detach().clone()
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    model.model.norm.weight.grad = torch.tensor([1e-3, -5.0] * 8)
    chosen.step(0.5)
    moved = model.model.norm.weight - before
    torch.testing.assert_close(moved, torch.tensor([-0.005, 0.005] * 8), atol=1e-6, rtol=1e-3)


def test_weight_decay_shrinks_matrices_alone(tiny):
    model = tiny.model(tiny.shape())
    chosen = build_optimizer(model, training(weight_decay=0.5, learning_rate=0.1))
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    chosen.step(1.0)
    for name, weight in model.named_parameters():
        kept = weight.dim() == 1 or name.endswith(("embed_tokens.weight", "lm_head.weight", "mlp.gate.weight"))
        torch.testing.assert_close(weight, before[name] * (1.0 if kept else 0.95))


def test_resumed_optimizer_makes_the_same_bits(tiny):
    shape = tiny.shape()
    tokens = tiny.tokens(shape, 4, 8)

    def steps(model, chosen, n: int) -> None:
        for _ in range(n):
            chosen.zero_grad()
            model.loss(tokens, tokens).backward()
            clip_gradients(model.parameters(), 1.0)
            chosen.step(1.0)

    model = tiny.model(shape)
    chosen = build_optimizer(model, training())
    steps(model, chosen, 3)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    state = deepcopy(chosen.state_dict())
    steps(model, chosen, 3)

    other = tiny.model(shape, seed=9)
    other.load_state_dict(weights)
    resumed = build_optimizer(other, training())
    resumed.load_state_dict(state)
    steps(other, resumed, 3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    for kind, tensors in chosen.state_dict().items():
        assert all(torch.equal(value, resumed.state_dict()[kind][name]) for name, value in tensors.items())


def test_training_lowers_the_loss(tiny):
    shape = tiny.shape()
    model, tokens = tiny.model(shape), tiny.tokens(shape, 4, 16)
    chosen = build_optimizer(model, training(learning_rate=0.02))
    losses = []
    for _ in range(60):
        chosen.zero_grad()
        loss = model.loss(tokens[:, :-1], tokens[:, 1:]) / 60
        loss.backward()
        clip_gradients(model.parameters(), 1.0)
        chosen.step(1.0)
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_clip_by_hand():
    one, two = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.zeros(2))
    one.grad, two.grad = torch.tensor([2.0]), torch.tensor([1.0, 2.0])
    assert clip_gradients([one, two], 1.5) == 3.0
    torch.testing.assert_close(torch.cat((one.grad, two.grad)), torch.tensor([1.0, 0.5, 1.0]))
    assert clip_gradients([one, two], 9.0) == pytest.approx(1.5)
    torch.testing.assert_close(two.grad, torch.tensor([0.5, 1.0]))


def test_schedule_by_hand():
    chosen = training(warmup_share=0.2, decay_share=0.4)
    # 10 steps: 2 rise, 4 stay, 4 fall; neither end is zero, as no step is made for nothing.
    scales = [schedule(step, 10, chosen) for step in range(10)]
    assert scales == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1, 4 / 5, 3 / 5, 2 / 5, 1 / 5])


def test_per_head_each_head_of_queries_and_values_is_made_orthogonal(tiny):
    shape = tiny.shape(n_heads=4)
    steps = {}
    for per_head in (True, False):
        model, tokens = tiny.model(shape), tiny.tokens(shape, 4, 16)
        before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        model.loss(tokens, tokens).backward()
        build_optimizer(model, training(muon_per_head=per_head, weight_decay=0.0)).step(1.0)
        steps[per_head] = {name: before[name] - weight.detach() for name, weight in model.named_parameters()}
    for name, step in steps[True].items():
        if not name.endswith(("q_b_proj.weight", "kv_b_proj.weight")):
            assert torch.equal(step, steps[False][name]), name
            continue
        assert not torch.allclose(step, steps[False][name])
        for head in step.chunk(4):
            # Newton-Schulz leaves singular values between about 0.7 and 1.2, of each head's matrix.
            scale = training().learning_rate * max(1, head.shape[0] / head.shape[1]) ** 0.5
            values = torch.linalg.svdvals(head / scale)
            assert 0.5 < values.min() <= values.max() < 1.3, name


def test_cosine_schedule_by_hand():
    chosen = training(warmup_share=0.2, decay_share=0.3, decay="cosine")
    # 3 of 10 steps fall: at 3/4, 2/4 and 1/4 of the way up half a cosine.
    root = 2**-0.5
    scales = [schedule(step, 10, chosen) for step in range(10)]
    assert scales == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1, 1, (1 + root) / 2, 1 / 2, (1 - root) / 2])


@pytest.mark.parametrize("shape", ["linear", "cosine"])
@pytest.mark.parametrize(("warmup", "decay"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)])
def test_schedule_is_above_zero_and_at_most_one(warmup, decay, shape):
    for steps in (1, 2, 3, 100):
        chosen = training(warmup_share=warmup, decay_share=decay, decay=shape)
        scales = [schedule(step, steps, chosen) for step in range(steps)]
        assert all(0 < scale <= 1 and math.isfinite(scale) for scale in scales)
