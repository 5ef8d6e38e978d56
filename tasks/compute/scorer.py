"""Weights -> bits of documents and continued prompts, in a process of `scorers.py`, with one torch thread."""

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.algorithm.blueprint import Shape
from tasks.algorithm.model import Model, load_weights
from tasks.algorithm.scoring import document_bits, generate
from tasks.params import Evaluate

# The model of this process, once `prepare` has loaded it.
_loaded: list[Model] = []


def prepare(shape: Shape, weights: Path, device: str) -> None:
    """Load the model; this process ends with the step's."""
    threading.Thread(target=_end_with_the_step, daemon=True).start()
    # Ctrl-C goes to all processes of a terminal; the parent says when this one ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    place = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
    _loaded.append(load_weights(shape, weights).to(place).eval())


def _end_with_the_step() -> None:
    """End when the step's process has ended, by SIGKILL too, and even if that was before this process began.

    A signal at the parent's death would miss the last: the parent is a fork server, and a worker of a pool whose
    other end is gone waits for ever.
    """
    step = multiprocessing.parent_process()
    if step is not None:
        wait([step.sentinel])
        os._exit(1)


def score(documents: list[NDArray[np.unsignedinteger]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Bits of each document, and how many tokens each expert of each MoE layer (L, E) saw for them."""
    [model] = _loaded
    model.take_expert_counts()
    bits = document_bits(model, documents)
    # Of the layers that score; those of multi-token prediction see nothing here.
    return bits, model.take_expert_counts()[: model.shape.n_moe_layers].cpu().numpy()


def sample(prompt: list[int], how: Evaluate, number: int) -> list[int]:
    """The prompt and what the model goes on with."""
    [model] = _loaded
    # A seed for each sample: with one state for all, a longer first sample would change the second.
    seed = int(np.random.SeedSequence([how.seed, number]).generate_state(1)[0])
    generator = torch.Generator().manual_seed(seed)
    written = generate(model, prompt, n_tokens=how.sample_tokens, temperature=how.temperature, generator=generator)
    return [*prompt, *written]
