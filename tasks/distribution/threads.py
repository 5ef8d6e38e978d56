"""How many threads a model's matrix products are given, for as long as a block lasts."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

# Smaller models lose by sharing their products out: measured, 3.5 M weights, 1024 tokens on two busy cores: 2.9 s
# with two threads, 0.13 s with one.
_WORTH_SHARING_PARAMETERS = 50_000_000


@contextmanager
def threads_for(model: nn.Module) -> Iterator[None]:
    """One thread for a small model, as evaluate has it (another number gives other bits); else all."""
    before = torch.get_num_threads()
    if sum(weight.numel() for weight in model.parameters()) < _WORTH_SHARING_PARAMETERS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
