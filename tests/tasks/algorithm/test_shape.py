"""A shape says everything that a model is built from, and refuses what cannot run."""

import pytest

from tasks import params
from tasks.algorithm.shape import Shape


def test_fields_are_those_of_params_without_the_preset_and_with_the_vocabulary():
    assert set(Shape.model_fields) == set(params.Blueprint.model_fields) - {"preset"} | {"vocab_size"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 20}, r"width \(20\) must be a multiple of 8; change blueprint.width"),
        ({"expert_ffn_width": 12}, r"expert_ffn_width \(12\) must be a multiple of 8"),
        ({"kv_lora_rank": 9}, r"kv_lora_rank \(9\) must be a multiple of 2"),
        ({"qk_nope_head_dim": 5}, r"qk_nope_head_dim \(5\) must be a multiple of 2"),
        ({"n_groups": 4}, "found 4 experts in 4 groups; raise blueprint.n_experts or lower blueprint.n_groups"),
    ],
)
def test_what_cannot_run_is_refused_with_the_key_to_change(tiny, values, message):
    with pytest.raises(ValueError, match=message):
        tiny.shape(**values)


def test_unknown_field_is_refused(tiny):
    with pytest.raises(ValueError, match="heads"):
        Shape(**tiny.values, heads=3)


def test_layers_and_head_sizes(tiny):
    shape = tiny.shape(n_layers=5, n_dense_layers=2)
    assert (shape.n_moe_layers, shape.qk_head_dim) == (3, 10)
