"""Shape -> what it costs: parameters, floating-point operations a token, bytes of memory. Exact where it can be."""

from pydantic import BaseModel, ConfigDict, Field

from tasks.algorithm.shape import Shape
from tasks.params import Train

_FP32_BYTES = 4
# As in cross_entropy.py and causal.py: rows of logits that exist at once, queries of a block of attention.
_LOGITS_ROWS = 512
_QUERY_BLOCK = 128


class Memory(BaseModel):
    """Bytes of a worker that trains in fp32, one micro-shard at a time: what it must hold at its fullest moment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: int
    gradients: int = Field(description="of one micro-shard, and the partial sums of the binary tree")
    optimizer: int = Field(description="one number a weight of a matrix (Muon), two a weight of the rest (AdamW)")
    activations: int = Field(description="kept from forward for backward, of one micro-shard")
    gathered: int = Field(default=0, description="with train.parallel=shard, what is whole for a while")

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.gathered


def total_parameters(shape: Shape) -> int:
    """All weights, embedding and output head included, the balancing biases not: no gradient trains them."""
    router = shape.n_routers * shape.n_experts * shape.width
    return 2 * shape.vocab_size * shape.width + _norm_weights(shape) + router + _muon_weights(shape)


def active_parameters(shape: Shape) -> int:
    """Weights that one token meets: all but the routed experts it does not choose.

    Embedding and output head are counted, as DeepSeek counts the 37 billion of V3
    (https://huggingface.co/deepseek-ai/DeepSeek-V3/blob/main/README_WEIGHTS.md).
    """
    return total_parameters(shape) - shape.n_routers * (shape.n_experts - shape.top_k) * _expert_weights(shape)


def flops_per_token(shape: Shape) -> int:
    """Operations to train on one token of a full sequence, a multiplication and an addition counted as two.

    6 a weight of each matrix it meets, 2 forward and 4 backward; the embedding is looked up, not multiplied. Attention
    adds 6 a feature of key and value for each position a token sees, half a sequence on average, since it is causal
    (PaLM, https://arxiv.org/abs/2204.02311, appendix B, counts the future too, and so do we where it is another
    document's past that is not seen). Norms, softmax and routing are left out, as there. Each module of multi-token
    prediction reads the output head once more.
    """
    heads = (shape.n_mtp_layers - 1) * shape.vocab_size * shape.width
    matrices = active_parameters(shape) - _norm_weights(shape) + heads
    # Position p sees p + 1 positions: (S + 1) / 2 on average.
    attention = _layers(shape) * shape.n_heads * (shape.qk_head_dim + shape.v_head_dim) * (shape.sequence_length + 1)
    return 6 * matrices + 3 * attention


def memory(
    shape: Shape, training: Train, *, recompute: bool = False, workers: int = 1, expert_workers: int = 0
) -> Memory:
    """Predicted memory of one worker on a CPU, without that of the program itself.

    With `recompute` (activation checkpointing) forward keeps of each layer its input, and all of one layer at a time.
    With `train.parallel: shard` each of `workers` has a share of weights, gradients and optimizer, and embedding, head
    and one layer after the other whole; `expert_workers` divide a layer's experts (0: all workers do).
    """
    shards = workers if training.parallel == "shard" else 1
    total, matrices = total_parameters(shape), _muon_weights(shape)
    # A binary counter of partial sums holds one gradient a level of the tree.
    held_gradients = training.micro_shards.bit_length() if shards == 1 else 1
    tokens = training.batch_tokens // training.micro_shards
    # The gradient of the output head is made in forward, from a chunk of logits and its softmax.
    head = shape.vocab_size * (shape.width + 2 * _LOGITS_ROWS)
    kept = _kept_in_layers(shape)
    inside = max(kept) + shape.width * len(kept) if recompute else sum(kept)
    # Embeddings, the last norm and the states that the head reads, and before each module of multi-token prediction.
    around = 3 * shape.width + 8 * shape.width * shape.n_mtp_layers
    activations = tokens * (inside + around) + head
    return Memory(
        weights=_FP32_BYTES * total // shards,
        gradients=_FP32_BYTES * total * held_gradients // shards,
        optimizer=_FP32_BYTES * (matrices + 2 * (total - matrices)) // shards,
        activations=_FP32_BYTES * activations,
        gathered=_FP32_BYTES * _gathered(shape, shards, expert_workers or shards) if shards > 1 else 0,
    )


def _gathered(shape: Shape, shards: int, expert_workers: int) -> int:
    """Numbers that FSDP2 has whole at the end of backward: weights, gradients, and the buffer in which these travel.

    Of embedding and head, kept from the start of forward, and of a layer; its experts where more workers than divide
    them have them in shards.
    """
    ends = 2 * shape.vocab_size * shape.width
    experts = shape.n_experts // expert_workers * _expert_weights(shape) if expert_workers < shards else 0
    moe = shape.n_shared_experts * _expert_weights(shape) + shape.n_experts * shape.width + experts
    widest = max(moe if shape.n_routers else 0, 3 * shape.width * shape.dense_ffn_width)
    return 3 * (ends + _attention_weights(shape) + widest)


def _layers(shape: Shape) -> int:
    return shape.n_layers + shape.n_mtp_layers


def _kept_in_layers(shape: Shape) -> list[int]:
    """Numbers a token that forward keeps of each layer: inputs of matrices and norms, attention's probabilities."""
    heads = shape.n_heads
    blocks = -(-shape.sequence_length // _QUERY_BLOCK)
    seen = min(shape.sequence_length, _QUERY_BLOCK * (blocks + 1) // 2)
    attention = (
        2 * shape.width
        + 2 * shape.q_lora_rank
        + 2 * shape.kv_lora_rank
        + shape.qk_rope_head_dim
        + heads * (2 * shape.qk_head_dim + 2 * shape.v_head_dim)
        + heads * seen
    )
    # SwiGLU keeps gate and up, the matrix after it their product; routed experts compute products again.
    dense = 2 * shape.width + 3 * shape.dense_ffn_width
    experts = (2 * shape.top_k + 3 * shape.n_shared_experts) * shape.expert_ffn_width
    moe = 2 * shape.width + experts + shape.n_experts
    n_dense = _layers(shape) - shape.n_routers
    return [attention + dense] * n_dense + [attention + moe] * shape.n_routers


def _muon_weights(shape: Shape) -> int:
    """Weights of the matrices inside layers, router left out."""
    experts = shape.n_experts + shape.n_shared_experts
    return (
        _layers(shape) * _attention_weights(shape)
        + (_layers(shape) - shape.n_routers) * 3 * shape.width * shape.dense_ffn_width
        + shape.n_routers * experts * _expert_weights(shape)
        + shape.n_mtp_layers * 2 * shape.width**2
    )


def _attention_weights(shape: Shape) -> int:
    heads = shape.n_heads
    return (
        shape.width * (shape.q_lora_rank + shape.kv_lora_rank + shape.qk_rope_head_dim)
        + shape.q_lora_rank * heads * shape.qk_head_dim
        + shape.kv_lora_rank * heads * (shape.qk_nope_head_dim + shape.v_head_dim)
        + heads * shape.v_head_dim * shape.width
    )


def _norm_weights(shape: Shape) -> int:
    around = (1 + 3 * shape.n_mtp_layers) * shape.width
    return _layers(shape) * (2 * shape.width + shape.q_lora_rank + shape.kv_lora_rank) + around


def _expert_weights(shape: Shape) -> int:
    return 3 * shape.width * shape.expert_ffn_width
