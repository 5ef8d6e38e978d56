"""What a router chose -> losses that even out its experts or keep its logits small, both off unless params ask."""

from dataclasses import dataclass

import torch
from torch import Tensor

# T tokens, B sequences, S positions, E experts, K chosen experts a token.


@dataclass(frozen=True)
class Routing:
    """One layer's choice of experts."""

    logits_TE: Tensor
    scores_TE: Tensor
    chosen_TK: Tensor

    def loss(self, n_sequences: int, *, balance: float, z: float) -> Tensor:
        """Both losses, each times its weight, summed over tokens as the loss of the model is."""
        total = self.scores_TE.new_zeros(())
        if balance:
            total = total + balance * self.balance_loss(n_sequences)
        if z:
            total = total + z * self.z_loss()
        return total

    def balance_loss(self, n_sequences: int) -> Tensor:
        """How unevenly each sequence uses the experts, times its tokens: S of each for a sequence of even use.

        DeepSeek-V3 (https://arxiv.org/abs/2412.19437), equations 17 to 20. The share of choices has no gradient; that
        of scores, each token's made to sum to 1, has.
        """
        n_experts, top_k = self.scores_TE.shape[1], self.chosen_TK.shape[1]
        scores_BSE = (self.scores_TE / self.scores_TE.sum(dim=-1, keepdim=True)).unflatten(0, (n_sequences, -1))
        chosen_BP = self.chosen_TK.unflatten(0, (n_sequences, -1)).flatten(1)
        counts_BE = torch.zeros_like(scores_BSE[:, 0]).scatter_add_(
            1, chosen_BP, scores_BSE.new_ones(()).expand(chosen_BP.shape)
        )
        # f of the paper, times S: choices of each expert over those of an even use.
        return (counts_BE * (n_experts / top_k) * scores_BSE.mean(dim=1)).sum()

    def z_loss(self) -> Tensor:
        """Sum over tokens of the squared logarithm of their logits' partition function.

        ST-MoE (https://arxiv.org/abs/2202.08906), equation 5.
        """
        return self.logits_TE.logsumexp(dim=-1).square().sum()
