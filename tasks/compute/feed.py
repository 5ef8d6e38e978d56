"""Batches -> tensors of the next step, read and made ready while the step before it is computed."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.compute.batches import Shard, Tokens
from tasks.compute.cluster import Device


@dataclass(frozen=True)
class Windows:
    """A micro-shard as the model takes it: tokens, targets, and where documents begin if they are to be masked."""

    tokens_BS: Tensor
    targets_BS: Tensor
    starts_BS: Tensor | None


class Feed:
    """Micro-shards of one step after the other; `waited_seconds` adds up what the taker had to wait for them."""

    def __init__(
        self, make: Callable[[int], Sequence[Shard]], *, device: Device, steps: int, document_masking: bool
    ) -> None:
        self._make, self._steps = make, steps
        self._device, self._masking = device, document_masking
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._coming: tuple[int, Future[list[Windows]]] | None = None
        self.waited_seconds = 0.0

    def take(self, step: int) -> list[Windows]:
        """Micro-shards of a step, on the device; those of the next begin to be made.

        Raises:
            OSError: the tokens cannot be read.
        """
        began = time.perf_counter()
        expected = self._coming is not None and self._coming[0] == step
        future = self._coming[1] if self._coming and expected else self._pool.submit(self._prepare, step)
        ready = future.result()
        self.waited_seconds += time.perf_counter() - began
        last = step + 1 >= self._steps
        self._coming = None if last else (step + 1, self._pool.submit(self._prepare, step + 1))
        return [self._send(windows) for windows in ready]

    def _prepare(self, step: int) -> list[Windows]:
        """In the thread: read and, for a GPU, put where it can fetch by itself."""
        return [
            Windows(
                self._hold(shard.inputs),
                self._hold(shard.targets),
                self._hold(shard.starts) if self._masking else None,
            )
            for shard in self._make(step)
        ]

    def _hold(self, tokens_BS: Tokens) -> Tensor:
        held_BS = torch.from_numpy(tokens_BS)
        return held_BS.pin_memory() if self._device == "cuda" else held_BS

    def _send(self, windows: Windows) -> Windows:
        if self._device == "cpu":
            return windows
        starts_BS = None if windows.starts_BS is None else windows.starts_BS.to(self._device, non_blocking=True)
        return Windows(
            windows.tokens_BS.to(self._device, non_blocking=True),
            windows.targets_BS.to(self._device, non_blocking=True),
            starts_BS,
        )
