"""What a model is built from: numbers only, no torch, so that any step can read it."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Rows of grouped_mm's operands must start on 16 bytes: 8 features of 2 bytes each (torch.nn.functional.grouped_mm).
_ALIGNMENT = 8
END_OF_TEXT = 0  # id of <|endoftext|> in our tokenizers


class Shape(BaseModel):
    """What a model is built from: `tasks.params.Blueprint` (meanings and bounds are there) and the vocabulary."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vocab_size: int = Field(ge=1, description="tokens the embedding and the output head know")
    sequence_length: int
    width: int
    n_layers: int
    n_dense_layers: int
    n_heads: int
    q_lora_rank: int
    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    dense_ffn_width: int
    expert_ffn_width: int
    n_experts: int
    top_k: int
    n_shared_experts: int
    n_mtp_layers: int = 0
    n_groups: int
    top_k_groups: int
    routed_scaling_factor: float
    rope_theta: float
    norm_eps: float

    @model_validator(mode="after")
    def _runs_everywhere(self) -> Self:
        """What the products of experts, the rotation of pairs and `transformers` ask for beyond `params.Blueprint`."""
        multiples = {"width": _ALIGNMENT, "expert_ffn_width": _ALIGNMENT, "kv_lora_rank": 2, "qk_nope_head_dim": 2}
        for name, multiple in multiples.items():
            if getattr(self, name) % multiple:
                raise ValueError(
                    f"{name} ({getattr(self, name)}) must be a multiple of {multiple}; change blueprint.{name}"
                )
        if self.n_experts < 2 * self.n_groups:
            raise ValueError(
                f"a group needs two experts, to be scored by its best two: found {self.n_experts} experts "
                f"in {self.n_groups} groups; raise blueprint.n_experts or lower blueprint.n_groups"
            )
        return self

    @property
    def n_moe_layers(self) -> int:
        """Layers with routed experts, after the dense ones."""
        return self.n_layers - self.n_dense_layers

    @property
    def n_routers(self) -> int:
        """Of these layers and of those of multi-token prediction, which have experts where any layer has."""
        return self.n_moe_layers + (self.n_mtp_layers if self.n_moe_layers else 0)

    @property
    def qk_head_dim(self) -> int:
        """Features of a head's query and key, rotated ones included."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim
