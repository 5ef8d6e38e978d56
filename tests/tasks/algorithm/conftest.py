"""Small shapes and models that every part of the algorithm is tested on."""

import pytest
import torch

from tasks.algorithm.model import Model
from tasks.algorithm.shape import Shape

TINY = {
    "vocab_size": 61, "sequence_length": 16, "width": 16, "n_layers": 2, "n_dense_layers": 1, "n_heads": 2,
    "q_lora_rank": 12, "kv_lora_rank": 8, "qk_nope_head_dim": 6, "qk_rope_head_dim": 4, "v_head_dim": 8,
    "dense_ffn_width": 24, "expert_ffn_width": 8, "n_experts": 4, "top_k": 2, "n_shared_experts": 1, "n_groups": 1,
    "top_k_groups": 1, "routed_scaling_factor": 1.0, "rope_theta": 10_000.0, "norm_eps": 1e-6,
}  # fmt: skip


class Tiny:
    """Makes small shapes, models and tokens."""

    values = TINY

    def shape(self, **values) -> Shape:
        return Shape(**(TINY | values))

    def model(self, shape: Shape, *, seed: int = 0) -> Model:
        """A model whose weights, norms and balancing biases are far enough from their start values to matter."""
        model = Model(shape)
        model.init_weights(seed)
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            for weight in model.parameters():
                noise = torch.randn(weight.shape, generator=generator)
                weight.copy_(1 + 0.2 * noise if weight.dim() == 1 else 0.2 * noise)
            for layer in model.model.layers[shape.n_dense_layers :]:
                layer.mlp.gate.e_score_correction_bias.normal_(0, 0.1, generator=generator)
        return model

    def tokens(self, shape: Shape, n_sequences: int, length: int, *, seed: int = 0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(0, shape.vocab_size, (n_sequences, length), generator=generator)


@pytest.fixture
def tiny() -> Tiny:
    return Tiny()


@pytest.fixture(autouse=True)
def _one_thread():
    """Bits repeat at a fixed number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
