"""The exported directory is what transformers, vLLM and llama.cpp read, and is refused when it is not the model."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tasks.distribution import export, parity
from tasks.report import StepError, read_json


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_transformers_loads_the_directory_with_our_logits_and_ids(trained, params, settings, out):
    report = export.run(params, settings, out)
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md", "blueprint.json", "config.json", "generation_config.json", "model.safetensors",
        "tokenizer.json", "tokenizer_config.json", "train-curves.png",
    ]  # fmt: skip
    assert report.facts["largest_logit_difference"] <= parity.TOLERANCE
    assert report.facts["positions_compared"] > 64
    assert report.pictures == ("train-curves.png",)

    model, tokenizer = parity.load_with_transformers(out)
    tokens = tokenizer("The café ☕", return_tensors="pt")["input_ids"]
    assert tokenizer.decode(tokens[0]) == "The café ☕"
    written = model.generate(tokens, max_new_tokens=3, do_sample=False, pad_token_id=0)
    assert written.shape[1] <= tokens.shape[1] + 3


def test_the_same_model_is_the_same_bytes(trained, params, settings, out, tmp_path):
    export.run(params, settings, out)
    (tmp_path / "again").mkdir()
    export.run(params, settings, tmp_path / "again")
    for path in out.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_config_says_what_other_engines_would_guess_wrong(trained, params, settings, out):
    export.run(params, settings, out)
    config = json.loads((out / "config.json").read_text())
    said = {"scoring_func": "sigmoid", "topk_method": "noaux_tc", "moe_layer_freq": 1, "num_nextn_predict_layers": 0}
    assert said.items() <= config.items()
    assert config["architectures"] == ["DeepseekV3ForCausalLM"]
    assert config["eos_token_id"] == 0
    names = set(load_file(out / "model.safetensors"))
    assert "model.layers.1.mlp.experts.3.gate_proj.weight" in names
    assert "model.layers.1.mlp.gate.e_score_correction_bias" in names
    generation = read_json(out / "generation_config.json")
    assert (generation["eos_token_id"], generation["temperature"]) == (0, params.evaluate.temperature)


def test_layers_of_multi_token_prediction_ship_and_transformers_leaves_them_out(trained, params, settings, out):
    blueprint = params.blueprint.model_copy(update={"n_mtp_layers": 1})
    params = params.model_copy(update={"blueprint": blueprint})
    type(trained)(settings, params)
    report = export.run(params, settings, out)
    assert report.facts["largest_logit_difference"] <= parity.TOLERANCE
    assert json.loads((out / "config.json").read_text())["num_nextn_predict_layers"] == 1
    assert f"model.layers.{blueprint.n_layers}.eh_proj.weight" in load_file(out / "model.safetensors")
    model, _ = parity.load_with_transformers(out)
    assert len(model.model.layers) == blueprint.n_layers


def test_weights_that_are_not_the_models_are_refused(trained, params, settings, out, monkeypatch):
    def wrong(state, shape):
        return {
            name: weight * 1.01 if name == "lm_head.weight" else weight for name, weight in real(state, shape).items()
        }

    real = export.to_hf
    monkeypatch.setattr(export, "to_hf", wrong)
    with pytest.raises(StepError, match="logits of the exported directory differ"):
        export.run(params, settings, out)


def test_a_weight_that_transformers_does_not_find_is_named(trained, params, settings, out, monkeypatch):
    real = export.to_hf
    monkeypatch.setattr(export, "to_hf", lambda state, shape: dict(list(real(state, shape).items())[:-1]))
    with pytest.raises(StepError, match="does not find the weights"):
        export.run(params, settings, out)


def test_a_tokenizer_that_makes_other_ids_is_refused(trained, params, settings, out, monkeypatch):
    text = (settings.artifacts / "tokenizer" / "tokenizer.json").read_text()
    changed = text.replace('"add_prefix_space":false', '"add_prefix_space":true').replace(
        '"add_prefix_space": false', '"add_prefix_space": true'
    )
    assert changed != text
    (settings.artifacts / "tokenizer" / "tokenizer.json").write_text(changed)
    with pytest.raises(StepError, match="tokenizer differs at token 0"):
        export.run(params, settings, out)


def test_logits_that_are_no_numbers_are_said(trained, params, settings, out):
    path = settings.artifacts / "train" / "model.safetensors"
    state = load_file(path)
    state["model.norm.weight"].fill_(torch.nan)
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(StepError, match="not finite"):
        export.run(params, settings, out)


def test_positions_after_a_tie_between_experts_are_not_compared(trained, params, settings):
    """With a router of zeros all scores are equal: any choice is right, and no position can be compared."""
    model = trained.weights(seed=1)
    tokens = torch.arange(64).numpy()
    with torch.no_grad():
        assert parity.compare_logits(model, lambda t: type("O", (), {"logits": model(t)}), tokens).positions == 64
        model.model.layers[1].mlp.gate.weight.zero_()
        with pytest.raises(StepError, match="without a tie"):
            parity.compare_logits(model, lambda t: type("O", (), {"logits": model(t)}), tokens)


def test_the_margin_of_a_choice_by_hand():
    """Scores 0.9 0.5 | 0.8 0.7 in two groups, one group allowed: sums 1.4 and 1.5, then 0.8 before 0.7."""
    router = torch.nn.Module()
    router.weight = torch.logit(torch.tensor([[0.9], [0.5], [0.8], [0.7]]))
    router.e_score_correction_bias = torch.zeros(4)

    class Groups:
        n_groups, top_k_groups, top_k = 2, 1, 1

    router.shape = Groups()
    margin = parity._choice_margin(router, torch.ones(1, 1))
    assert margin.item() == pytest.approx(0.1, abs=1e-6)
    Groups.top_k_groups = 2
    assert parity._choice_margin(router, torch.ones(1, 1)).item() == pytest.approx(0.1, abs=1e-6)
    Groups.top_k = 3
    assert parity._choice_margin(router, torch.ones(1, 1)).item() == pytest.approx(0.2, abs=1e-6)


def test_without_transformers_the_install_line_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(StepError, match=r"pip install -e '\.\[distribution\]'"):
        parity.load_with_transformers(tmp_path)


@pytest.mark.parametrize(("difference", "reported"), [(0.0, 0.0), (2.1e-7, 1e-6), (1e-6, 1e-6), (9.9e-5, 1e-4)])
def test_differences_are_reported_as_powers_of_ten(difference, reported):
    assert export._power_of_ten_above(difference) == reported
