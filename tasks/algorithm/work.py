"""Shape and training -> the work of an optimizer step, sorted by what bounds it: products, memory, number of calls.

`cost.py` counts operations; here is what turns them into seconds, for a machine whose speeds are known.
"""

from collections import Counter
from dataclasses import dataclass, field

from tasks.algorithm.shape import Shape
from tasks.params import Train

_FP32_BYTES = 4
# Forward, and two products of the same size in backward.
_PASSES = 3
# Newton-Schulz: steps of Muon (optimizer.py), in each of which a Gram matrix, its square and a product with it.
_ORTHOGONAL_STEPS = 5
# How often a step reads or writes a number a weight, and a micro-shard does (gradient, partial sums), at the speed at
# which two long vectors are added: what makes the runs of `benchmarks/scaling.json` come out, all within 6 %.
_TOUCHES_A_STEP, _TOUCHES_A_SHARD = 112, 24


@dataclass
class Work:
    """Work of one optimizer step of all workers together."""

    products: Counter[int] = field(default_factory=Counter)
    """Floating-point operations of matrix products, by the smallest side of the product."""
    shared: Counter[int] = field(default_factory=Counter)
    """The same, of the optimizer's products, which do not grow with tokens."""
    weight_bytes: float = 0.0
    """Read and written of gradients and weights by each worker."""
    calls: int = 0
    """Layers that micro-shards go through: what each takes whatever its width, attention's softmax included."""


def work_of(shape: Shape, training: Train) -> Work:
    """Work of one optimizer step."""
    tokens, shards = training.batch_tokens, training.micro_shards
    rows = tokens // shards
    work = Work()

    def multiply(inner: int, outer: int, *, met: int, share: float = 1.0) -> None:
        side = max(1, min(inner, outer, int(rows * share)))
        work.products[side] += _PASSES * 2 * inner * outer * met * tokens

    common, routed = _common(shape), 3 * shape.n_moe_layers
    for (outer, inner), count in common.items():
        multiply(inner, outer, met=count)
    multiply(shape.width, shape.vocab_size, met=1)
    multiply(shape.width, shape.expert_ffn_width, met=routed * shape.top_k, share=shape.top_k / shape.n_experts)
    heads = shape.n_layers * shape.n_heads * (shape.qk_head_dim + shape.v_head_dim)
    work.products[min(shape.qk_head_dim, rows)] += _PASSES * heads * (shape.sequence_length + 1) * tokens
    weights = 2 * shape.vocab_size * shape.width
    common[shape.expert_ffn_width, shape.width] += routed * shape.n_experts
    for sides, count in common.items():
        small, large = sorted(sides)
        work.shared[small] += _ORTHOGONAL_STEPS * count * (4 * small * small * large + 2 * small**3)
        weights += small * large * count
    work.weight_bytes = _FP32_BYTES * weights * (_TOUCHES_A_STEP + _TOUCHES_A_SHARD * shards)
    work.calls = shards * shape.n_layers
    return work


def _common(shape: Shape) -> Counter[tuple[int, int]]:
    """Rows and columns of the matrices inside layers that every token meets, and how many there are."""
    layers, width, heads = shape.n_layers, shape.width, shape.n_heads
    found: Counter[tuple[int, int]] = Counter()
    found[shape.q_lora_rank, width] += layers
    found[heads * shape.qk_head_dim, shape.q_lora_rank] += layers
    found[shape.kv_lora_rank + shape.qk_rope_head_dim, width] += layers
    found[heads * (shape.qk_nope_head_dim + shape.v_head_dim), shape.kv_lora_rank] += layers
    found[width, heads * shape.v_head_dim] += layers
    found[shape.dense_ffn_width, width] += 3 * shape.n_dense_layers
    found[shape.n_shared_experts * shape.expert_ffn_width, width] += 3 * shape.n_moe_layers
    return found
