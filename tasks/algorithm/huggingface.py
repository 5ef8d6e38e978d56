"""Our weights and shape <-> the `deepseek_v3` directory that transformers, vLLM, SGLang and llama.cpp read."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tasks.algorithm.shape import END_OF_TEXT, Shape

_EXPERTS = re.compile(r"(.*\.experts)\.(gate_up_proj|down_proj)")
_GATE_UP = ".gate_up_proj.weight"
_MTP = re.compile(r"mtp\.(\d+)\.(.*)")
_LAYER = re.compile(r"model\.layers\.(\d+)\.(.*)")
# Of a module of multi-token prediction: ours -> DeepSeek's, where it is a layer after the last
# (https://huggingface.co/deepseek-ai/DeepSeek-V3/blob/main/README_WEIGHTS.md).
_MTP_NORM, _MTP_HEAD_NORM = "norm.weight", "shared_head.norm.weight"
# Copies that are shared with the model; engines look for them there.
_MTP_SHARED = {"embed_tokens.weight": "model.embed_tokens.weight", "shared_head.head.weight": "lm_head.weight"}


def to_hf(state: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Weights by their names on disk: experts one by one, gate and up apart, all else as in `Model.state_dict`."""
    apart: dict[str, Tensor] = {}
    for name, weight in _mtp_to_layers(state, shape).items():
        if match := _EXPERTS.fullmatch(name):
            prefix, kind = match.groups()
            apart |= {f"{prefix}.{number}.{kind}.weight": matrix for number, matrix in enumerate(weight)}
        else:
            apart[name] = weight
    out: dict[str, Tensor] = {}
    for name, weight in apart.items():
        if name.endswith(_GATE_UP):
            prefix = name.removesuffix(_GATE_UP)
            out[f"{prefix}.gate_proj.weight"], out[f"{prefix}.up_proj.weight"] = weight.chunk(2)
        else:
            out[name] = weight
    return {name: weight.contiguous() for name, weight in out.items()}


def from_hf(state: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Weights for `Model.load_state_dict` from those on disk.

    Raises:
        KeyError: a matrix is missing.
    """
    joined: dict[str, Tensor] = {}
    state = {name: weight for name, weight in state.items() if not _is_shared(name, shape)}
    for name, weight in state.items():
        if name.endswith(".gate_proj.weight"):
            up = state[name.replace("gate_proj", "up_proj")]
            joined[name.replace("gate_proj", "gate_up_proj")] = torch.cat((weight, up))
        elif not name.endswith(".up_proj.weight"):
            joined[name] = weight
    out = {name: weight for name, weight in joined.items() if ".experts." not in name}
    for layer in range(shape.n_dense_layers, shape.n_dense_layers + shape.n_routers):
        prefix = f"model.layers.{layer}.mlp.experts"
        for kind in ("gate_up_proj", "down_proj"):
            out[f"{prefix}.{kind}"] = torch.stack(
                [joined[f"{prefix}.{number}.{kind}.weight"] for number in range(shape.n_experts)]
            )
    return _layers_to_mtp(out, shape)


def _mtp_to_layers(state: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Modules of multi-token prediction as the layers after the last."""
    out: dict[str, Tensor] = {}
    for name, weight in state.items():
        if not (match := _MTP.fullmatch(name)):
            out[name] = weight
            continue
        number, rest = int(match[1]), match[2]
        rest = _MTP_HEAD_NORM if rest == _MTP_NORM else rest.removeprefix("layer.")
        out[f"model.layers.{shape.n_layers + number}.{rest}"] = weight
    for number in range(shape.n_layers, shape.n_layers + shape.n_mtp_layers):
        out |= {f"model.layers.{number}.{copy}": state[name].clone() for copy, name in _MTP_SHARED.items()}
    return out


def _layers_to_mtp(state: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """The reverse of `_mtp_to_layers`, without the copies."""
    out: dict[str, Tensor] = {}
    for name, weight in state.items():
        match = _LAYER.fullmatch(name)
        if match is None or int(match[1]) < shape.n_layers:
            out[name] = weight
            continue
        rest = _MTP_NORM if match[2] == _MTP_HEAD_NORM else match[2]
        own = rest.startswith(("enorm.", "hnorm.", "eh_proj.")) or rest == _MTP_NORM
        out[f"mtp.{int(match[1]) - shape.n_layers}.{'' if own else 'layer.'}{rest}"] = weight
    return out


def _is_shared(name: str, shape: Shape) -> bool:
    match = _LAYER.fullmatch(name)
    return match is not None and int(match[1]) >= shape.n_layers and match[2] in _MTP_SHARED


def hf_config(shape: Shape) -> dict[str, Any]:
    """`config.json`. What transformers takes for granted is said too, since other engines guess otherwise."""
    return {
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        "dtype": "float32",
        "vocab_size": shape.vocab_size,
        "max_position_embeddings": shape.sequence_length,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.n_layers,
        "first_k_dense_replace": shape.n_dense_layers,
        "num_attention_heads": shape.n_heads,
        "num_key_value_heads": shape.n_heads,
        "q_lora_rank": shape.q_lora_rank,
        "kv_lora_rank": shape.kv_lora_rank,
        "qk_nope_head_dim": shape.qk_nope_head_dim,
        "qk_rope_head_dim": shape.qk_rope_head_dim,
        "v_head_dim": shape.v_head_dim,
        "intermediate_size": shape.dense_ffn_width,
        "moe_intermediate_size": shape.expert_ffn_width,
        "n_routed_experts": shape.n_experts,
        "num_experts_per_tok": shape.top_k,
        "n_shared_experts": shape.n_shared_experts,
        "n_group": shape.n_groups,
        "topk_group": shape.top_k_groups,
        "routed_scaling_factor": shape.routed_scaling_factor,
        "norm_topk_prob": True,
        # Without these two llama.cpp and vLLM take the scores for softmax; transformers does not write them.
        "scoring_func": "sigmoid",
        "topk_method": "noaux_tc",
        "moe_layer_freq": 1,
        "num_nextn_predict_layers": shape.n_mtp_layers,
        "hidden_act": "silu",
        "rms_norm_eps": shape.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "rope_theta": shape.rope_theta,
        "rope_interleave": True,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": False,
        "use_cache": True,
        "bos_token_id": END_OF_TEXT,
        "eos_token_id": END_OF_TEXT,
    }
