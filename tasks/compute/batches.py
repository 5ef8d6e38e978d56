"""Token stream -> batches: which windows of the stream a step trains on, a function of seed and step number alone."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data_contracts.pieces import Stream
from tasks.algorithm.shape import END_OF_TEXT
from tasks.report import StepError

# N tokens of the stream, S tokens of a sequence, B sequences of a batch, M micro-shards, W workers.
Tokens = NDArray[np.int64]
_SCAN_TOKENS = 1 << 24


@dataclass(frozen=True)
class Shard:
    """Windows that go through the model at once: tokens, and what each is to be followed by."""

    inputs: Tokens
    targets: Tokens  # inputs moved by one token

    @property
    def starts(self) -> Tokens:
        """Where in its window each token's document begins: at the last end-of-text token so far.

        That token ends one document for who predicts it and begins the next for who reads it, so that a first token is
        predicted from it alone: as in `scoring.document_bits` and for a prompt, and as in trainers that write a token
        before each document (https://github.com/karpathy/nanochat).
        """
        places_S = np.arange(self.inputs.shape[1])
        begins_BS = np.where(self.inputs == END_OF_TEXT, places_S, 0)
        return np.maximum.accumulate(begins_BS, axis=1)


class Sliced(Protocol):
    """A stream of tokens (N,): an array, or one in pieces."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: slice, /) -> NDArray[np.unsignedinteger]: ...


def open_stream(pack: Path) -> Stream:
    """Token stream (N,) to train on of what `pack` left, mapped into memory, not read.

    Raises:
        StepError: a piece is missing or no flat stream of unsigned numbers.
    """
    try:
        return Stream(pack)
    except (OSError, ValueError) as error:
        raise StepError(f"{pack} has no token stream: {error}; run `python -m tasks pack`") from None


def check_stream(stream: Sliced, *, vocab_size: int, batch_tokens: int) -> None:
    """See that a model of this vocabulary can train on the stream.

    Raises:
        StepError: too few tokens for one batch, or tokens that the model does not know.
    """
    if len(stream) <= batch_tokens:
        raise StepError(
            f"the training data has {len(stream):,} tokens, one batch needs {batch_tokens + 1:,}; "
            "add text to discover.sources, or lower train.batch_tokens in params.yaml "
            "(a multiple of blueprint.sequence_length x train.micro_shards)"
        )
    highest = max(int(stream[i : i + _SCAN_TOKENS].max()) for i in range(0, len(stream), _SCAN_TOKENS))
    if highest >= vocab_size:
        raise StepError(
            f"the training data has token {highest}, the blueprint knows tokens 0 to {vocab_size - 1}; "
            "blueprint and data do not fit: run `dvc repro`, so that both are made with the same tokenizer.vocab_size"
        )


@dataclass(frozen=True)
class Batches:
    """Batches of windows, without a state: an epoch is a permutation of windows that lie side by side.

    Where the first window starts differs from epoch to epoch, so that windows cut the text at other places.
    """

    stream: Sliced
    sequence_length: int
    batch_sequences: int
    seed: int
    _orders: dict[int, NDArray[np.int64]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def windows(self) -> int:
        """Windows of an epoch; one less than fit, so that the first may start anywhere in one window's length."""
        return max(1, (len(self.stream) - 1) // self.sequence_length - 1)

    def offsets(self, step: int) -> NDArray[np.int64]:
        """Where the batch's windows (B,) start in the stream."""
        numbers_B = step * self.batch_sequences + np.arange(self.batch_sequences)
        epochs_B, places_B = np.divmod(numbers_B, self.windows)
        return np.concatenate([self._epoch(e)[places_B[epochs_B == e]] for e in np.unique(epochs_B).tolist()])

    def rows_of(self, start: int, stop: int) -> NDArray[np.int64]:
        """Numbers of the windows that have tokens `start` to `stop` (exclusive) of the stream, in the first epoch."""
        order = self._epoch(0)
        return np.flatnonzero((order < stop) & (order + self.sequence_length >= start))

    def shards(self, step: int, micro_shards: int, *, rank: int, workers: int) -> list[Shard]:
        """A worker's micro-shards, B / M windows each: its contiguous part of the batch.

        `workers` divides `micro_shards`, which divides the batch.
        """
        parts = np.split(self.offsets(step), micro_shards)
        each = micro_shards // workers
        mine = parts[rank * each : (rank + 1) * each]
        tokens = [np.stack([self._window(at) for at in offsets.tolist()]) for offsets in mine]
        return [Shard(rows[:, :-1], rows[:, 1:]) for rows in tokens]

    def _window(self, start: int) -> Tokens:
        """A sequence and the token after it, (S + 1,)."""
        return self.stream[start : start + self.sequence_length + 1].astype(np.int64)

    def _epoch(self, epoch: int) -> NDArray[np.int64]:
        if epoch not in self._orders:
            generator = np.random.Generator(np.random.PCG64([self.seed, epoch]))
            slack = len(self.stream) - 1 - self.windows * self.sequence_length
            start = generator.integers(slack, endpoint=True)
            order = start + generator.permutation(self.windows) * self.sequence_length
            for past in [known for known in self._orders if known < epoch - 1]:
                del self._orders[past]
            self._orders[epoch] = order
        return self._orders[epoch]
