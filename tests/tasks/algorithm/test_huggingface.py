"""transformers' DeepSeek-V3 and ours are the same function, weights carried in either direction."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, DeepseekV3Config, DeepseekV3ForCausalLM
from transformers.utils import logging

from tasks.algorithm.huggingface import from_hf, hf_config, to_hf
from tasks.algorithm.model import Model

logging.disable_progress_bar()

SHAPES = {
    "tiny": {},
    "groups": {"n_experts": 16, "top_k": 4, "n_groups": 4, "top_k_groups": 2, "n_layers": 3},
    "factor, eps, theta": {"routed_scaling_factor": 2.5, "norm_eps": 1e-3, "rope_theta": 500.0, "n_shared_experts": 3},
    "no dense layer": {"n_dense_layers": 0},
    "dense only": {"n_dense_layers": 2},
    "values wider than keys": {"v_head_dim": 24},
    "long": {"sequence_length": 200, "n_heads": 3},
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def shape(tiny, request):
    return tiny.shape(**request.param)


def load(folder, shape, model: Model) -> DeepseekV3ForCausalLM:
    """What transformers makes of a directory with our weights."""
    (folder / "config.json").write_text(json.dumps(hf_config(shape)))
    save_file(to_hf(model.state_dict(), shape), folder / "model.safetensors", metadata={"format": "pt"})
    theirs, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert isinstance(theirs, DeepseekV3ForCausalLM)
    assert {key: list(values) for key, values in info.items() if values} == {}
    return theirs


def test_logits_and_gradients_of_our_weights_in_transformers(tiny, shape, tmp_path):
    model = tiny.model(shape)
    theirs = load(tmp_path, shape, model)
    tokens, targets = tiny.tokens(shape, 2, shape.sequence_length), tiny.tokens(shape, 2, shape.sequence_length, seed=1)
    logits = theirs(tokens).logits
    assert (model(tokens) - logits).abs().max() < 1e-4
    assert logits.abs().max() > 1

    model.loss(tokens, targets).backward()
    F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum").backward()
    mine = to_hf({name: weight.grad for name, weight in model.named_parameters()}, shape)
    gradients = {}
    for name, weight in theirs.named_parameters():
        if name.endswith("experts.gate_up_proj") or name.endswith("experts.down_proj"):
            gradients |= to_hf({name: weight.grad}, shape)
        else:
            gradients[name] = weight.grad
    assert mine.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert (mine[name] - gradient).norm() <= 1e-3 * gradient.norm(), name


def test_logits_of_transformers_weights_in_our_model(tiny, shape, tmp_path):
    theirs = DeepseekV3ForCausalLM(DeepseekV3Config(**hf_config(shape)))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.copy_(0.2 * torch.randn(weight.shape, generator=generator))
        for name, bias in theirs.named_buffers():
            if name.endswith("e_score_correction_bias"):
                bias.normal_(0, 0.1, generator=generator)
    theirs.save_pretrained(tmp_path)
    from safetensors.torch import load_file

    model = Model(shape)
    model.load_state_dict(from_hf(load_file(tmp_path / "model.safetensors"), shape))
    tokens = tiny.tokens(shape, 2, shape.sequence_length)
    assert (model(tokens) - theirs(tokens).logits).abs().max() < 1e-4


def test_there_and_back_is_the_same(tiny, shape):
    state = tiny.model(shape).state_dict()
    back = from_hf(to_hf(state, shape), shape)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], weight) for name, weight in state.items())


@pytest.mark.parametrize("values", [{}, {"n_dense_layers": 2}])
def test_multi_token_prediction_ships_as_layers_after_the_last(tiny, tmp_path, values):
    shape = tiny.shape(n_mtp_layers=2, **values)
    model = tiny.model(shape)
    assert hf_config(shape)["num_nextn_predict_layers"] == 2
    state = model.state_dict()
    names = to_hf(state, shape)
    assert torch.equal(names["model.layers.3.eh_proj.weight"], state["mtp.1.eh_proj.weight"])
    assert torch.equal(names["model.layers.2.shared_head.norm.weight"], state["mtp.0.norm.weight"])
    assert torch.equal(names["model.layers.2.shared_head.head.weight"], state["lm_head.weight"])
    assert torch.equal(names["model.layers.2.embed_tokens.weight"], state["model.embed_tokens.weight"])
    assert not [name for name in names if name.startswith("mtp")]
    back = from_hf(names, shape)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], weight) for name, weight in state.items())
    # transformers takes the model and leaves the rest.
    (tmp_path / "config.json").write_text(json.dumps(hf_config(shape)))
    save_file(names, tmp_path / "model.safetensors", metadata={"format": "pt"})
    theirs, tokens = AutoModelForCausalLM.from_pretrained(tmp_path), tiny.tokens(shape, 2, 8)
    assert (model(tokens) - theirs(tokens).logits).abs().max() < 1e-4


def test_names_on_disk_are_those_of_deepseek(tiny):
    names = to_hf(tiny.model(tiny.shape()).state_dict(), tiny.shape())
    assert names["model.layers.1.mlp.experts.3.gate_proj.weight"].shape == (8, 16)
    assert names["model.layers.1.mlp.experts.3.down_proj.weight"].shape == (16, 8)
    assert names["model.layers.1.mlp.gate.e_score_correction_bias"].shape == (4,)
    assert names["model.layers.1.mlp.shared_experts.up_proj.weight"].shape == (8, 16)
    assert names["model.layers.0.mlp.gate_proj.weight"].shape == (24, 16)


def test_config_says_what_other_engines_would_guess_wrong(tiny):
    config = hf_config(tiny.shape())
    assert config["scoring_func"] == "sigmoid"
    assert config["topk_method"] == "noaux_tc"
    assert config["moe_layer_freq"] == 1
    assert config["num_nextn_predict_layers"] == 0
    assert config["rope_interleave"] is True
    assert config["q_lora_rank"] == 12
