"""Tokens -> logits or loss: the DeepSeek-V3 decoder, with its weights on disk as safetensors."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tasks.algorithm.attention import Attention, Linear, rotations
from tasks.algorithm.cross_entropy import linear_cross_entropy, token_cross_entropy
from tasks.algorithm.moe import FeedForward, MoE
from tasks.algorithm.norm import RMSNorm
from tasks.algorithm.shape import Shape

# B sequences, S positions, D width, V vocabulary, L MoE layers, E experts.
_INIT_STD = 0.02


class Layer(nn.Module):
    """Attention, then feed-forward, each on the normed residual stream (pre-norm)."""

    def __init__(self, shape: Shape, *, dense: bool) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.width, shape.norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RMSNorm(shape.width, shape.norm_eps)
        self.mlp: FeedForward | MoE = FeedForward(shape.width, shape.dense_ffn_width) if dense else MoE(shape)

    def forward(self, x_BSD: Tensor, rotations_SR: Tensor, starts_BS: Tensor | None, counts_E: Tensor | None) -> Tensor:
        """Residual stream (B, S, D) after this layer; `counts_E` is None in a dense layer."""
        x_BSD = x_BSD + self.self_attn(self.input_layernorm(x_BSD), rotations_SR, starts_BS)
        h_TD = self.post_attention_layernorm(x_BSD).flatten(0, 1)
        out_TD = self.mlp(h_TD) if counts_E is None else self.mlp(h_TD, counts_E)
        return x_BSD + out_TD.view_as(x_BSD)


class Decoder(nn.Module):
    """Embedding, layers and last norm: `model.` in the names of the weights."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(
            shape.vocab_size, shape.width, _weight=torch.empty(shape.vocab_size, shape.width)
        )
        self.layers = nn.ModuleList(Layer(shape, dense=i < shape.n_dense_layers) for i in range(shape.n_layers))
        self.norm = RMSNorm(shape.width, shape.norm_eps)


class Model(nn.Module):
    """A DeepSeek-V3 causal language model (https://arxiv.org/abs/2412.19437).

    Its weights have no values until `init_weights` or `load_weights`. Names of weights are those of
    `transformers.DeepseekV3ForCausalLM`. `expert_counts_LE` counts the tokens of each routed expert since
    `take_expert_counts`.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        self.lm_head = Linear(shape.width, shape.vocab_size)
        rotations_SR = rotations(shape.sequence_length, shape.qk_rope_head_dim, shape.rope_theta)
        self.register_buffer("rotations_SR", rotations_SR, persistent=False)
        self.rotations_SR: Tensor
        counts_LE = torch.zeros(shape.n_moe_layers, shape.n_experts, dtype=torch.int64)
        self.register_buffer("expert_counts_LE", counts_LE, persistent=False)
        self.expert_counts_LE: Tensor

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Give all weights their `initial_weights`."""
        weights = dict(self.named_parameters())
        for name, value in initial_weights(self.shape, {name: weight.shape for name, weight in weights.items()}, seed):
            weights[name].copy_(value)

    def forward(self, tokens_BS: Tensor) -> Tensor:
        """Logits (B, S, V)."""
        return self.lm_head(self._hidden(tokens_BS))

    def loss(self, tokens_BS: Tensor, targets_BS: Tensor, starts_BS: Tensor | None = None) -> Tensor:
        """Sum over all targets of their negative log likelihood, in nats; the full logits never exist at once.

        With `starts_BS` (as in `causal_attention`) no document sees another.
        """
        hidden_TD = self._hidden(tokens_BS, starts_BS).flatten(0, 1)
        return linear_cross_entropy(hidden_TD, self.lm_head.weight, targets_BS.flatten())

    def nats(self, tokens_BS: Tensor, targets_BS: Tensor) -> Tensor:
        """Negative log likelihood of each target (B, S), without gradient; `loss` is their sum."""
        hidden_TD = self._hidden(tokens_BS).flatten(0, 1)
        return token_cross_entropy(hidden_TD, self.lm_head.weight, targets_BS.flatten()).view_as(targets_BS)

    def _hidden(self, tokens_BS: Tensor, starts_BS: Tensor | None = None) -> Tensor:
        length = tokens_BS.shape[1]
        if length > self.shape.sequence_length:
            raise ValueError(
                f"sequences of at most {self.shape.sequence_length} tokens expected (blueprint.sequence_length), "
                f"found {length}; cut them into windows"
            )
        x_BSD = self.model.embed_tokens(tokens_BS)
        for i, layer in enumerate(self.model.layers):
            n = i - self.shape.n_dense_layers
            counts_E = self.expert_counts_LE[n] if n >= 0 else None
            x_BSD = layer(x_BSD, self.rotations_SR[:length], starts_BS, counts_E)
        return self.model.norm(x_BSD)

    def take_expert_counts(self) -> Tensor:
        """Tokens of each routed expert of each MoE layer (L, E) since the last call; counting starts anew."""
        counts_LE = self.expert_counts_LE.clone()
        self.expert_counts_LE.zero_()
        return counts_LE

    @torch.no_grad()
    def balance(self, counts_LE: Tensor, rate: float) -> None:
        """Make busy experts less likely and idle ones more: bias += rate * sign(mean load - load).

        DeepSeek-V3, section 2.1.2; https://arxiv.org/abs/2408.15664.
        """
        # sign(E * mean - E * load) in whole numbers: no rounding decides it.
        direction_LE = (counts_LE.sum(dim=1, keepdim=True) - counts_LE * counts_LE.shape[1]).sign()
        moes = [layer.mlp for layer in self.model.layers if isinstance(layer.mlp, MoE)]
        for moe, direction_E in zip(moes, direction_LE, strict=True):
            moe.gate.e_score_correction_bias += rate * direction_E


def initial_weights(shape: Shape, sizes: Mapping[str, torch.Size], seed: int) -> Iterator[tuple[str, Tensor]]:
    """Normal weights, one after the other; what writes into the residual stream shrinks with depth (GPT-2).

    Args:
        shape: of the model.
        sizes: shapes of its weights by name, in its order.
        seed: same seed, same bits.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, size in sizes.items():
        if len(size) == 1:
            yield name, torch.ones(size)
            continue
        is_output = name.endswith(("o_proj.weight", "down_proj.weight", "experts.down_proj"))
        std = _INIT_STD / (2 * shape.n_layers) ** 0.5 if is_output else _INIT_STD
        yield name, torch.empty(size).normal_(0.0, std, generator=generator)


def save_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write a model's state as fp32 safetensors: same weights, same bytes."""
    state = {name: weight.detach().float().cpu().contiguous() for name, weight in weights.items()}
    save_file(state, path, metadata={"format": "pt"})


def load_weights(shape: Shape, path: Path) -> Model:
    """Model with the weights that `save_weights` wrote.

    Raises:
        RuntimeError: the file's names or shapes are not those of `shape`.
    """
    model = Model(shape)
    model.load_state_dict(load_file(path))
    return model
