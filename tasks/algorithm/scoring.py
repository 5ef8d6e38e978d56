"""A model and token sequences -> bits of each document; a model and a prompt -> tokens that go on."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from tasks.algorithm.model import Model
from tasks.algorithm.shape import END_OF_TEXT

# Windows overlap by one part in so many: half costs 1.5 times the work of a quarter.
_OVERLAP = 4
# Windows of about this many tokens together go through the model at once.
_BATCH_TOKENS = 8192


@dataclass(frozen=True)
class _Window:
    """Part of a document that goes through the model in one piece."""

    document: int
    start: int  # position of its first predicted token in the document
    skip: int  # predictions that an earlier window has counted
    tokens: np.ndarray  # predicted tokens, and before them the one that the first is predicted from


def document_bits(
    model: Model, documents: Sequence[np.ndarray], *, on_progress: Callable[[int], None] | None = None
) -> np.ndarray:
    """Bits that the model needs for each document.

    The first token is predicted from the end-of-text token, as in training. A document longer than the model's
    sequence is read in windows that overlap by a quarter: each token is counted once, in the window that shows most
    of what stands before it, which is at least a quarter of a sequence.

    Args:
        model: weights loaded, on any device.
        documents: token numbers of each document, without end token.
        on_progress: called with the number of windows done so far, of `count_windows`.

    Returns:
        Bits (documents,), float64.
    """
    length = model.shape.sequence_length
    # Windows of one length go together: no padding that would cost work and count in the expert load.
    windows = sorted(_windows(documents, length), key=lambda window: len(window.tokens), reverse=True)
    pieces: list[tuple[int, int, float]] = []
    for size, same in groupby(windows, key=lambda window: len(window.tokens)):
        alike, rows = list(same), max(1, _BATCH_TOKENS // size)
        for i in range(0, len(alike), rows):
            pieces += _score(model, alike[i : i + rows])
            if on_progress:
                on_progress(len(pieces))
    bits = np.zeros(len(documents))
    # In the order of the windows, so that a document's sum does not depend on what it was batched with.
    for document, _, nats in sorted(pieces):
        bits[document] += nats / math.log(2)
    return bits


def count_windows(documents: Sequence[np.ndarray], sequence_length: int) -> int:
    """Windows that `document_bits` reads, for a progress bar."""
    return sum(1 for _ in _windows(documents, sequence_length))


@torch.inference_mode()
def generate(
    model: Model, prompt: Sequence[int], *, n_tokens: int, temperature: float, generator: torch.Generator
) -> list[int]:
    """Up to `n_tokens` tokens that go on after `prompt`; ends before an end-of-text token.

    Beyond the model's sequence the last tokens are what it sees.

    Args:
        model: weights loaded, on any device.
        prompt: token numbers; may be empty.
        n_tokens: how many at most.
        temperature: 0 takes the likeliest token, 1 draws as the model says.
        generator: random state, on the CPU: same state, same tokens.
    """
    device, length = model.lm_head.weight.device, model.shape.sequence_length
    written: list[int] = []
    while len(written) < n_tokens:
        seen = [END_OF_TEXT, *prompt, *written][-length:]
        logits_V = model(torch.tensor([seen], device=device))[0, -1].double().cpu()
        if temperature == 0:
            token = int(logits_V.argmax())
        else:
            token = int(torch.multinomial((logits_V / temperature).softmax(-1), 1, generator=generator))
        if token == END_OF_TEXT:
            break
        written.append(token)
    return written


def _windows(documents: Sequence[np.ndarray], length: int) -> Iterator[_Window]:
    for number, document in enumerate(documents):
        tokens = np.concatenate(([END_OF_TEXT], document)).astype(np.int64)
        counted = start = 0
        while counted < len(document):
            end = min(start + length, len(document))
            yield _Window(number, start, counted - start, tokens[start : end + 1])
            counted, start = end, start + length - length // _OVERLAP


def _score(model: Model, windows: Sequence[_Window]) -> list[tuple[int, int, float]]:
    """Document, start and nats of windows of one length."""
    tokens_BS = torch.from_numpy(np.stack([window.tokens for window in windows])).to(model.lm_head.weight.device)
    with torch.inference_mode():
        nats_BS = model.nats(tokens_BS[:, :-1], tokens_BS[:, 1:]).double().cpu().numpy()
    return [(w.document, w.start, math.fsum(nats_S[w.skip :])) for w, nats_S in zip(windows, nats_BS, strict=True)]
