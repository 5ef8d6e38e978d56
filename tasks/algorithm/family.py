"""Width, layers and experts -> all values of `params.yaml`'s blueprint: the shapes that a plan chooses from.

Proportions are those of the presets, which follow DeepSeek-V3's. Two kinds: `fine` for CPU cores (as preset nano),
`wide` for GPUs, with what vLLM's MLA kernels ask for (as presets small and medium).
"""

from typing import Any

_FINE_HEAD, _WIDE_HEAD = 32, 64
# From this width on, shapes are `wide`.
WIDE_FROM = 512


def family(*, width: int, n_layers: int, n_experts: int, top_k: int) -> dict[str, Any]:
    """Values of section `blueprint`; with `n_experts` 0 a dense model, whose feed-forward is as wide as the experts
    that a token would use, `top_k` and the shared ones, together.
    """
    values = _wide(width) if width >= WIDE_FROM else _fine(width)
    used = (top_k + values["n_shared_experts"]) * values["expert_ffn_width"]
    mixture = {
        "n_layers": n_layers, "n_dense_layers": 1, "n_experts": n_experts, "top_k": top_k,
        "n_groups": 1, "top_k_groups": 1, "dense_ffn_width": used,
    }  # fmt: skip
    # A dense model has no experts, but the section's own law asks for two at least.
    dense = {"n_dense_layers": n_layers, "n_experts": max(2, top_k)}
    return {**values, **mixture, **({} if n_experts else dense)}


def _fine(width: int) -> dict[str, Any]:
    return {
        "sequence_length": 256, "width": width, "n_heads": max(2, round(width / _FINE_HEAD)),
        "q_lora_rank": _eighths(width * 3 / 4), "kv_lora_rank": _eighths(width / 2),
        "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32,
        "expert_ffn_width": width, "n_shared_experts": 1, "routed_scaling_factor": 1.0,
    }  # fmt: skip


def _wide(width: int) -> dict[str, Any]:
    # kv_lora_rank + qk_rope_head_dim in {320, 576}, qk_rope_head_dim != qk_nope_head_dim (design of the presets).
    return {
        "sequence_length": 2048, "width": width, "n_heads": max(8, width // _WIDE_HEAD // 2 * 2),
        "q_lora_rank": width // 2, "kv_lora_rank": 512 if width >= 2048 else 256,
        "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "expert_ffn_width": width // 2, "n_shared_experts": 2, "routed_scaling_factor": 1.8,
    }  # fmt: skip


def _eighths(number: float) -> int:
    """Next multiple of 8: what the products of experts and rotations ask for."""
    return max(8, round(number / 8) * 8)
