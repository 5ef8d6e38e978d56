"""What a model costs is what the real one has, does and keeps."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tasks import params
from tasks.algorithm.blueprint import Blueprint
from tasks.algorithm.cost import _kept_in_layers, active_parameters, flops_per_token, memory, total_parameters
from tasks.algorithm.model import Model
from tasks.algorithm.optimizer import build_optimizer


def blueprint(preset: str, **train) -> Blueprint:
    return Blueprint.make(
        params.parse({"blueprint": {"preset": preset}, "discover": {"sources": ["x"]}, "train": train})
    )


@pytest.mark.parametrize("preset", list(params.PRESETS))
def test_total_is_what_the_model_has(preset):
    shape = blueprint(preset).shape
    with torch.device("meta"):
        model = Model(shape)
    assert total_parameters(shape) == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(
    "values",
    [
        {"n_dense_layers": 0},
        {"n_dense_layers": 2},
        {"n_shared_experts": 3},
        {"n_mtp_layers": 2},
        {"n_mtp_layers": 1, "n_dense_layers": 2},
    ],
)
def test_total_without_dense_or_moe_layers_and_with_more_shared_experts(tiny, values):
    shape = tiny.shape(**values)
    assert total_parameters(shape) == sum(weight.numel() for weight in Model(shape).parameters())


def test_active_parameters_are_those_that_one_token_changes(tiny):
    shape = tiny.shape(n_experts=8, top_k=3, n_layers=3)
    model = tiny.model(shape)
    # A token alone sees itself only, so that softmax has no gradient; two have.
    model.loss(torch.tensor([[5, 5]]), torch.tensor([[7, 7]])).backward()
    idle = 0
    for layer in model.model.layers[shape.n_dense_layers :]:
        experts = layer.mlp.experts
        idle += sum(e.numel() for e in experts.gate_up_proj.grad if not e.any())
        idle += sum(e.numel() for e in experts.down_proj.grad if not e.any())
    met = total_parameters(shape) - idle
    # Equal tokens at two positions may choose different experts after attention: none may be missing.
    assert active_parameters(shape) <= met < total_parameters(shape)
    assert active_parameters(shape) == total_parameters(shape) - 2 * (8 - 3) * 3 * 16 * 8


def test_flops_of_a_model_small_enough_to_count_by_hand(tiny):
    shape = tiny.shape(n_layers=1, n_dense_layers=1, vocab_size=10, sequence_length=16)
    # Matrices: queries 16 x 12 and 12 x 2 (6 + 4), keys and values 16 x (8 + 4) and 8 x 2 (6 + 8), output 16 x 16,
    # feed-forward 3 x 16 x 24, head 16 x 10.
    matrices = 192 + 240 + 192 + 224 + 256 + 1152 + 160
    # Position p of 16 sees p + 1: 8.5 on average; a key has 10 features, a value 8, in each of 2 heads.
    assert flops_per_token(shape) == 6 * matrices + 6 * 8.5 * 2 * (10 + 8)


def test_flops_are_what_torch_counts_when_attention_is_small(tiny):
    shape = tiny.shape(width=128, dense_ffn_width=256, expert_ffn_width=64, n_layers=3)
    tokens = tiny.tokens(shape, 32, 16)
    model = tiny.model(shape)
    with FlopCounterMode(display=False) as counter:
        model.loss(tokens, tokens).backward()
    assert flops_per_token(shape) == pytest.approx(counter.get_total_flops() / tokens.numel(), rel=0.03)


def test_flops_of_multi_token_prediction_are_what_torch_counts(tiny):
    shape = tiny.shape(width=128, dense_ffn_width=256, expert_ffn_width=64, n_layers=3, n_mtp_layers=1)
    tokens = tiny.tokens(shape, 32, 16)
    model, training = tiny.model(shape), blueprint("nano").training
    with FlopCounterMode(display=False) as counter:
        model.objective(tokens, tokens, None, training, recompute=False)[0].backward()
    assert flops_per_token(shape) == pytest.approx(counter.get_total_flops() / tokens.numel(), rel=0.03)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("values", [{}, {"n_mtp_layers": 1}])
def test_activations_are_what_autograd_keeps(tiny, values, recompute):
    made = blueprint("nano", micro_shards=4)
    shape, training = made.shape.model_copy(update=values), made.training
    model = tiny.model(shape)
    tokens_BS = tiny.tokens(shape, training.batch_tokens // 4 // shape.sequence_length, shape.sequence_length)
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model.objective(tokens_BS, tokens_BS, None, training, recompute=False)
        found = sum(kept.values())
        if recompute:
            kept.clear()
            model.objective(tokens_BS, tokens_BS, None, training, recompute=True)
            # The layer that is computed again keeps as much as it does without.
            layer = max(_kept_in_layers(shape)) * 4 * tokens_BS.numel()
            found = sum(kept.values()) + layer
    logits = 4 * 2 * 512 * shape.vocab_size
    predicted = memory(shape, training, recompute=recompute).activations - logits
    assert predicted == pytest.approx(found, rel=0.02 if not recompute and not values else 0.1)


def test_optimizer_memory_is_what_the_optimizer_keeps(tiny):
    made = blueprint("nano")
    model = tiny.model(made.shape)
    optimizer = build_optimizer(model, made.training)
    tokens = tiny.tokens(made.shape, 1, 8)
    model.loss(tokens, tokens).backward()
    optimizer.step(1.0)
    held = sum(v.nbytes for kind in optimizer.state_dict().values() for v in kind.values() if v.dim() > 0)
    assert memory(made.shape, made.training).optimizer == held


def test_gradients_are_one_a_level_of_the_tree():
    one, eight = (blueprint("nano", batch_tokens=8192, micro_shards=n) for n in (1, 8))
    weights = 4 * one.total_parameters
    assert one.memory.gradients == weights
    assert eight.memory.gradients == 4 * weights
    assert one.memory_bytes == one.memory.total == sum(one.memory.model_dump().values())


def test_shards_divide_what_is_held_and_not_what_is_computed():
    made = blueprint("nano", parallel="shard", micro_shards=4)
    one, four = (memory(made.shape, made.training, workers=n) for n in (1, 4))
    assert four.weights == one.weights // 4
    assert four.optimizer == one.optimizer // 4
    assert four.gradients == four.weights  # no tree of partial sums
    assert (one.gathered, four.activations) == (0, one.activations)
    assert one == made.memory
    # With each pair of workers dividing the experts, half of a layer's are gathered.
    pairs = memory(made.shape, made.training, workers=4, expert_workers=2)
    assert pairs.gathered > four.gathered > 0
    replicated = blueprint("nano", micro_shards=4)
    assert memory(replicated.shape, replicated.training, workers=4) == replicated.memory
