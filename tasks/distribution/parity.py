"""An exported directory, loaded as its users load it, against the model it was made from: same ids, same logits."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.algorithm.model import Model
from tasks.algorithm.moe import Router
from tasks.distribution.threads import threads_for
from tasks.report import StepError

logger = logging.getLogger(__name__)

TOLERANCE = 1e-4
# Rounding decides between experts whose scores are closer than this: either choice is right, and what follows differs.
_TIE = 1e-5
_WINDOWS, _WINDOW_TOKENS = 4, 256
# B windows, S positions, V vocabulary, T = B * S tokens, E experts, K chosen experts.


class Parity(NamedTuple):
    """What was compared and how far apart it was."""

    positions: int
    largest_difference: float


def load_with_transformers(folder: Path) -> tuple[Any, Any]:
    """(model, tokenizer) of a directory, by `transformers`, without any network.

    Raises:
        StepError: transformers is not installed, or cannot read what was written.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging as transformers_logging
    except ImportError as error:
        raise StepError(
            f"export checks itself with transformers, but: {error}; type pip install -e '.[distribution]'"
        ) from None
    transformers_logging.disable_progress_bar()
    try:
        loader: Any = AutoModelForCausalLM
        model, loading = loader.from_pretrained(folder, local_files_only=True, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise StepError(f"transformers cannot load the exported directory: {error}") from error
    # Engines that draft with them read them; transformers has no such layers.
    first, more = model.config.num_hidden_layers, getattr(model.config, "num_nextn_predict_layers", None) or 0
    drafts = tuple(f"model.layers.{first + i}." for i in range(more))
    loading["unexpected_keys"] = [name for name in loading["unexpected_keys"] if not name.startswith(drafts)]
    wrong = {kind: sorted(names) for kind, names in loading.items() if names}
    if wrong:
        raise StepError(f"transformers does not find the weights as they were written: {wrong}")
    return model.eval(), tokenizer


def compare_ids(tokenizer: Any, texts: Sequence[str], tokens: Sequence[Sequence[int]]) -> None:
    """See that the tokenizer makes the same ids of each text.

    Raises:
        StepError: it does not.
    """
    for text, expected in zip(texts, tokens, strict=True):
        # As pack encodes: a document that spells out a special token does not contain it.
        found = list(tokenizer(text, split_special_tokens=True, verbose=False)["input_ids"])
        if found != list(expected):
            at = next(i for i in range(len(found) + 1) if found[: i + 1] != list(expected[: i + 1]))
            raise StepError(
                f"the exported tokenizer differs at token {at} of a held-out document: expected "
                f"{list(expected[at : at + 5])}, found {found[at : at + 5]}"
            )


@torch.no_grad()
def compare_logits(ours: Model, theirs: Any, tokens: np.ndarray) -> Parity:
    """Largest difference of logits on real tokens.

    Raises:
        StepError: it exceeds `TOLERANCE` where no tie between experts explains it.
    """
    tokens_BS = _windows(tokens, ours.shape.sequence_length)
    with threads_for(ours):
        with _watched_routers(ours) as margins:
            ours_BSV = ours(tokens_BS)
        theirs_BSV = theirs(tokens_BS).logits
    if not torch.isfinite(ours_BSV).all():
        raise StepError("the model's logits are not finite numbers; lower train.learning_rate and train again")
    sure_BS = torch.ones(tokens_BS.shape, dtype=torch.bool)
    for margin_T in margins:
        sure_BS &= (margin_T > _TIE).view_as(sure_BS)
    # A tie changes all that attends to it.
    sure_BS = sure_BS.long().cummin(dim=1).values.bool()
    difference_BS = (ours_BSV - theirs_BSV).abs().amax(dim=-1)
    if not sure_BS.any():
        raise StepError("no position without a tie between experts was found to compare logits at; train longer")
    largest = float(difference_BS[sure_BS].max())
    if not largest <= TOLERANCE:
        raise StepError(
            f"logits of the exported directory differ by {largest:.2e}, expected at most {TOLERANCE:.0e}; "
            "tasks/algorithm/huggingface.py does not say what tasks/algorithm/model.py computes"
        )
    return Parity(int(sure_BS.sum()), largest)


def _windows(tokens: np.ndarray, sequence_length: int) -> Tensor:
    """The beginning of the stream as (B, S)."""
    length = min(_WINDOW_TOKENS, sequence_length, len(tokens))
    count = min(_WINDOWS, len(tokens) // length)
    return torch.from_numpy(tokens[: count * length].astype(np.int64)).view(count, length)


@contextmanager
def _watched_routers(model: Model) -> Iterator[list[Tensor]]:
    """Collects, for each MoE layer, how far each token's choice of experts is from another one, shape (T,)."""
    margins: list[Tensor] = []

    def watch(router: Router, inputs: tuple[Tensor, ...], _output: Any) -> None:
        margins.append(_choice_margin(router, inputs[0]))

    handles = [module.register_forward_hook(watch) for module in model.modules() if isinstance(module, Router)]
    try:
        yield margins
    finally:
        for handle in handles:
            handle.remove()


def _choice_margin(router: Router, x_TD: Tensor) -> Tensor:
    """Distance between the last chosen and the first not chosen, of groups and of experts, shape (T,)."""
    shape = router.shape
    scores_TE = F.linear(x_TD.float(), router.weight.float()).sigmoid() + router.e_score_correction_bias
    if shape.top_k_groups == shape.n_groups:
        return _gap(scores_TE, shape.top_k)
    scores_TGE = scores_TE.unflatten(1, (shape.n_groups, -1))
    groups_TG = scores_TGE.topk(2, dim=-1).values.sum(dim=-1)
    best_TG = groups_TG.topk(shape.top_k_groups, dim=-1).indices
    closed_TG = torch.ones_like(groups_TG, dtype=torch.bool).scatter_(1, best_TG, value=False)
    open_TE = scores_TGE.masked_fill(closed_TG.unsqueeze(-1), -torch.inf).flatten(1)
    return torch.minimum(_gap(open_TE, shape.top_k), _gap(groups_TG, shape.top_k_groups))


def _gap(scores_TE: Tensor, chosen: int) -> Tensor:
    """Between the scores at places `chosen` and `chosen + 1`; infinite where all are chosen."""
    if chosen >= scores_TE.shape[1]:
        return torch.full((len(scores_TE),), torch.inf)
    best = scores_TE.topk(chosen + 1, dim=1).values
    return best[:, chosen - 1] - best[:, chosen]
