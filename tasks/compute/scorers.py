"""Documents and prompts -> processes that score and continue them, one a core; `scorer.py` is one of them.

This side does not import torch: the processes are forked from one that has, while this one goes on. What is computed
together is fixed by the documents alone, so the bits do not depend on the number of processes.
"""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from infra.processes import usable_cores
from infra.settings import Settings
from tasks.algorithm.blueprint import Shape
from tasks.params import Evaluate

# L MoE layers, E experts.
Document = NDArray[np.unsignedinteger]
Score = tuple[NDArray[np.float64], NDArray[np.int64]]

# Documents are scored in groups of about this many tokens: enough to fill batches, few enough to share out evenly.
_GROUP_TOKENS = 12_288
_MODULE = "tasks.compute.scorer"


@dataclass(frozen=True)
class Scores:
    """Scores that are being computed."""

    tokens: int
    _groups: list[tuple[int, Future[Score]]]

    def collect(self, on_progress: Callable[[int], None]) -> tuple[NDArray[np.float64], list[list[float]]]:
        """Bits of each document, and each expert's share of its layer's tokens, once all are there.

        Args:
            on_progress: called with the tokens done so far.
        """
        bits: list[NDArray[np.float64]] = []
        counts_LE: NDArray[np.int64] | None = None
        done = 0
        for tokens, future in self._groups:
            group_bits, group_counts_LE = future.result()
            bits.append(group_bits)
            counts_LE = group_counts_LE if counts_LE is None else counts_LE + group_counts_LE
            done += tokens
            on_progress(done)
        if counts_LE is None:
            return np.zeros(0), []
        shares_LE = counts_LE / np.maximum(counts_LE.sum(axis=-1, keepdims=True), 1)
        return np.concatenate(bits), [[round(share, 6) for share in layer] for layer in shares_LE.tolist()]


@dataclass(frozen=True)
class Samples:
    """Samples that are being written."""

    _futures: list[Future[list[int]]]

    def collect(self) -> list[list[int]]:
        """Tokens of each, prompt included, once all are there."""
        return [future.result() for future in self._futures]


class Scorers:
    """The processes, with one model's weights."""

    def __init__(self, shape: Shape, weights: Path, settings: Settings) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([_MODULE])
        has_gpu = settings.device != "cpu" and Path("/proc/driver/nvidia/version").exists()
        self._pool = ProcessPoolExecutor(
            1 if has_gpu else usable_cores(),
            mp_context=context,
            initializer=_prepare,
            initargs=(shape, weights, settings.device),
        )

    def __enter__(self) -> Self:
        self._pool.submit(os.getpid)  # starts them
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def start_scores(self, documents: Sequence[Document]) -> Scores:
        """Score documents: tokens of each, without end token."""
        groups: list[list[Document]] = []
        sizes: list[int] = []
        for document in documents:
            if not groups or sizes[-1] >= _GROUP_TOKENS:
                groups.append([])
                sizes.append(0)
            groups[-1].append(document)
            sizes[-1] += len(document)
        futures = [self._pool.submit(_score, group) for group in groups]
        return Scores(sum(sizes), list(zip(sizes, futures, strict=True)))

    def start_samples(self, prompts: Sequence[list[int]], how: Evaluate) -> Samples:
        """Continue prompts (token numbers), each with a random state of its own."""
        return Samples([self._pool.submit(_sample, prompt, how, i) for i, prompt in enumerate(prompts)])


# In a process of the pool. Imported there, so that this side need not wait for torch.


def _prepare(shape: Shape, weights: Path, device: str) -> None:
    from tasks.compute import scorer

    scorer.prepare(shape, weights, device)


def _score(documents: list[Document]) -> Score:
    from tasks.compute import scorer

    return scorer.score(documents)


def _sample(prompt: list[int], how: Evaluate, number: int) -> list[int]:
    from tasks.compute import scorer

    return scorer.sample(prompt, how, number)
