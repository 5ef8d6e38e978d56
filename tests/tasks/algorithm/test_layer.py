"""Memory and precision of a pass: computed twice gives the same bits, in bf16 nearly the same numbers."""

import pytest
import torch

from tasks.params import parse


def training(**values):
    return parse({"blueprint": {"preset": "nano"}, "discover": {"sources": ["x"]}, "train": values}).train


def gradients(tiny, shape, *, recompute: bool, **values):
    model, tokens = tiny.model(shape), tiny.tokens(shape, 4, 16)
    starts = torch.zeros_like(tokens)
    starts[1, 5:] = 5
    objective, nats, _ = model.objective(tokens, tokens, starts, training(**values), recompute=recompute)
    objective.backward()
    return nats, model.take_expert_counts(), {name: weight.grad for name, weight in model.named_parameters()}


SHAPE = {"n_layers": 3, "n_experts": 8, "n_mtp_layers": 1}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_layers_computed_twice_leave_the_same_bits(tiny, precision):
    values = {"balance_loss": 0.1, "z_loss": 0.1, "precision": precision}
    once, twice = (gradients(tiny, tiny.shape(**SHAPE), recompute=r, **values) for r in (False, True))
    assert torch.equal(once[0], twice[0])
    assert torch.equal(once[1], twice[1])
    assert all(torch.equal(gradient, twice[2][name]) for name, gradient in once[2].items())


def test_layers_computed_twice_keep_less(tiny):
    def kept(*, recompute: bool) -> int:
        shape = tiny.shape(n_layers=6)
        model, tokens = tiny.model(shape), tiny.tokens(shape, 4, 16)
        sizes: dict[int, int] = {}

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model.objective(tokens, tokens, None, training(), recompute=recompute)
        own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
        return sum(size for place, size in sizes.items() if place not in own)

    assert kept(recompute=True) < kept(recompute=False) / 4


def test_bf16_is_near_and_not_the_same(tiny):
    shape = tiny.shape(width=32)
    fine, coarse = (gradients(tiny, shape, recompute=False, precision=p) for p in ("fp32", "bf16"))
    assert coarse[0].dtype == torch.float32
    assert coarse[0].item() == pytest.approx(fine[0].item(), rel=0.02)
    assert coarse[0].item() != fine[0].item()
    for name, gradient in coarse[2].items():
        assert gradient.dtype == torch.float32, name
        assert gradient.isfinite().all(), name
    head = "lm_head.weight"
    assert (coarse[2][head] - fine[2][head]).norm() < 0.1 * fine[2][head].norm()


def test_the_residual_stream_and_the_router_stay_in_fp32(tiny):
    shape = tiny.shape()
    model, tokens, seen = tiny.model(shape), tiny.tokens(shape, 2, 8), []
    layer = model.model.layers[1]
    layer.register_forward_hook(lambda _layer, _inputs, out: seen.append(out[0].dtype))
    layer.mlp.gate.register_forward_hook(lambda _gate, _inputs, out: seen.append(out[1].logits_TE.dtype))
    layer.self_attn.q_a_proj.register_forward_hook(lambda _proj, _inputs, out: seen.append(out.dtype))
    layer.mlp.experts.register_forward_hook(lambda _experts, _inputs, out: seen.append(out.dtype))
    model.objective(tokens, tokens, None, training(precision="bf16"), recompute=False)
    assert seen == [torch.bfloat16, torch.float32, torch.bfloat16, torch.float32]
