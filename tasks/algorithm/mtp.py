"""Hidden states and the next tokens -> hidden states that predict one token further: multi-token prediction.

DeepSeek-V3 (https://arxiv.org/abs/2412.19437, section 2.2): each module is a layer more, reads what the one before it
made and the token that this one predicted, and shares embedding and output head with the model. Training learns from
more tokens ahead; who writes text needs none of it, and may use it to draft (speculative decoding).
"""

import torch
from torch import Tensor, nn

from tasks.algorithm.attention import Linear
from tasks.algorithm.layer import Layer, Out, Pass
from tasks.algorithm.norm import RMSNorm
from tasks.algorithm.shape import END_OF_TEXT, Shape

# B sequences, S positions, D width.


class NextTokens(nn.Module):
    """One module; `norm` is what the output head asks for."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.enorm = RMSNorm(shape.width, shape.norm_eps)
        self.hnorm = RMSNorm(shape.width, shape.norm_eps)
        self.eh_proj = Linear(2 * shape.width, shape.width)
        self.layer = Layer(shape, dense=not shape.n_moe_layers)
        self.norm = RMSNorm(shape.width, shape.norm_eps)

    def forward(self, before_BSD: Tensor, next_BSD: Tensor, view: Pass) -> Out:
        """As a layer gives it.

        Args:
            before_BSD: last hidden states, or what the module before this one made.
            next_BSD: embeddings of the tokens that were predicted from it.
            view: as of the model's layers.
        """
        # Token first: the order in which DeepSeek's weights, vLLM and SGLang have it, not that of equation 21.
        both_BSF = torch.cat((self.enorm(next_BSD), self.hnorm(before_BSD)), dim=-1)
        return view.through(self.layer, self.eh_proj(both_BSF))


def tokens_ahead(targets_BS: Tensor, ahead: int) -> Tensor:
    """Tokens `ahead` after those at each position; beyond the window, where none is known, the end-of-text token."""
    length = targets_BS.shape[1]
    ahead_BS = torch.full_like(targets_BS, END_OF_TEXT)
    ahead_BS[:, : max(0, length - ahead + 1)] = targets_BS[:, ahead - 1 :]
    return ahead_BS


def predicts_own_document(tokens_BS: Tensor, starts_BS: Tensor | None, ahead: int) -> Tensor:
    """Where a token `ahead` + 1 further is in the window and, with documents, in the same one: (B, S).

    The end-of-text token begins the next document, whose first token is then not predicted from this one.
    """
    length = tokens_BS.shape[1]
    own_BS = torch.zeros_like(tokens_BS, dtype=torch.bool)
    known = max(0, length - ahead)
    own_BS[:, :known] = True if starts_BS is None else starts_BS[:, ahead:] == starts_BS[:, :known]
    return own_BS
