"""Tokens -> logits or loss: the DeepSeek-V3 decoder, with its weights on disk as safetensors."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tasks.algorithm.attention import Linear, rotations
from tasks.algorithm.cross_entropy import linear_cross_entropy, token_cross_entropy
from tasks.algorithm.layer import Layer, Pass
from tasks.algorithm.moe import MoE
from tasks.algorithm.mtp import NextTokens, predicts_own_document, tokens_ahead
from tasks.algorithm.norm import RMSNorm
from tasks.algorithm.shape import Shape
from tasks.params import Train

# B sequences, S positions, D width, V vocabulary, L MoE layers, E experts.
_INIT_STD = 0.02


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
        self.mtp = nn.ModuleList(NextTokens(shape) for _ in range(shape.n_mtp_layers))
        counts_LE = torch.zeros(shape.n_routers, shape.n_experts, dtype=torch.int64)
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
        return self.lm_head(self._hidden(tokens_BS, self._view(tokens_BS))[0])

    def loss(self, tokens_BS: Tensor, targets_BS: Tensor, starts_BS: Tensor | None = None) -> Tensor:
        """Sum over all targets of their negative log likelihood, in nats; the full logits never exist at once.

        With `starts_BS` (as in `causal_attention`) no document sees another.
        """
        hidden_BSD, _ = self._hidden(tokens_BS, self._view(tokens_BS, starts_BS))
        return self._nats(hidden_BSD, targets_BS)

    def objective(
        self, tokens_BS: Tensor, targets_BS: Tensor, starts_BS: Tensor | None, training: Train, *, recompute: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What training makes small, a sum over tokens; of it `loss`, and the nats of tokens further ahead.

        The router's losses and those of multi-token prediction are in the first, each times its weight in `training`.
        `recompute` trades a second forward pass for memory; the bits are the same.
        """
        view = self._view(
            tokens_BS, starts_BS, balance_loss=training.balance_loss, z_loss=training.z_loss,
            bf16=training.precision == "bf16", recompute=recompute,
        )  # fmt: skip
        hidden_BSD, extra = self._hidden(tokens_BS, view)
        nats, further = self._nats(hidden_BSD, targets_BS), hidden_BSD.new_zeros(())
        before_BSD = hidden_BSD
        for ahead, mtp in enumerate(self.mtp, start=1):
            assert isinstance(mtp, NextTokens)
            next_BSD = self.model.embed_tokens(tokens_ahead(targets_BS, ahead))
            before_BSD, counts_E, router_loss = mtp(before_BSD, next_BSD, view)
            extra = extra + self._note(counts_E, router_loss, self.shape.n_moe_layers + ahead - 1)
            own_BS = predicts_own_document(tokens_BS, starts_BS, ahead)
            if own_BS.any():
                hidden_ND, targets_N = mtp.norm(before_BSD)[own_BS], tokens_ahead(targets_BS, ahead + 1)[own_BS]
                further = further + self._nats(hidden_ND, targets_N)
            else:  # a gradient of zero: workers that have shards of one model all go backward through all of it
                further = further + 0.0 * mtp.norm(before_BSD).sum()
        weight = training.mtp_weight / max(1, len(self.mtp))
        return nats + extra + weight * further, nats.detach(), further.detach()

    def nats(self, tokens_BS: Tensor, targets_BS: Tensor) -> Tensor:
        """Negative log likelihood of each target (B, S), without gradient; `loss` is their sum."""
        hidden_TD = self._hidden(tokens_BS, self._view(tokens_BS))[0].flatten(0, 1)
        return token_cross_entropy(hidden_TD, self.lm_head.weight, targets_BS.flatten()).view_as(targets_BS)

    def _nats(self, hidden: Tensor, targets: Tensor) -> Tensor:
        return linear_cross_entropy(hidden.flatten(0, -2), self.lm_head.weight, targets.flatten())

    def _view(self, tokens_BS: Tensor, starts_BS: Tensor | None = None, **values: Any) -> Pass:
        return Pass(self.rotations_SR[: tokens_BS.shape[1]], starts_BS, **values)

    def _hidden(self, tokens_BS: Tensor, view: Pass) -> tuple[Tensor, Tensor]:
        """Last hidden states (B, S, D), and the losses of all routers."""
        length = tokens_BS.shape[1]
        if length > self.shape.sequence_length:
            raise ValueError(
                f"sequences of at most {self.shape.sequence_length} tokens expected (blueprint.sequence_length), "
                f"found {length}; cut them into windows"
            )
        x_BSD = self.model.embed_tokens(tokens_BS)
        extra = x_BSD.new_zeros(())
        for i, layer in enumerate(self.model.layers):
            assert isinstance(layer, Layer)
            x_BSD, counts_E, router_loss = view.through(layer, x_BSD)
            extra = extra + self._note(counts_E, router_loss, i - self.shape.n_dense_layers)
        return self.model.norm(x_BSD), extra

    def _note(self, counts_E: Tensor | None, router_loss: Tensor | None, row: int) -> Tensor | float:
        """Count tokens of experts, of the MoE layer in this row; its router's loss."""
        if counts_E is None or router_loss is None:
            return 0.0
        self.expert_counts_LE[row] += counts_E
        return router_loss

    def take_expert_counts(self) -> Tensor:
        """Tokens of each routed expert of each MoE layer (L, E) since the last call; counting starts anew.

        Rows are layers, then those of multi-token prediction.
        """
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
        moes = [module for module in self.modules() if isinstance(module, MoE)]
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
