"""Machines that a plan is made for: this one, as measured, or a GPU as its maker states it; seconds of a step on each.

A published GPU is `peak x MFU`: operations that count over what the chip could do. What public trainers reached is in
docs/plan.md; a plan says which share it takes.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.algorithm.blueprint import Blueprint
from tasks.algorithm.work import work_of

# Assumed of bf16 training on a published GPU: between what public trainers reached (`python -m benchmarks.published`).
MFU, DENSE_MFU = 0.3, 0.45
_GIB = 1 << 30
_FP32_BYTES = 4


class PlanError(ValueError):
    """No plan can be made; the message says what is missing and what to give."""


class Probe(BaseModel):
    """A short real training: what a plan's seconds are held against."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    shape: str = Field(description="which of the family")
    training_flops: float = Field(description="operations a token, as `cost.flops_per_token` counts them")
    seconds_per_step: float = Field(description="of one worker that does a whole step alone")
    modelled: float = Field(description="seconds that speeds of products and memory alone give for it")
    calls: int = Field(description="layers that are entered in a step, as `work.py` counts them")


class Machine(BaseModel):
    """What is known of a machine; `device` cpu is measured, gpu is as published or measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    device: Literal["cpu", "gpu"]
    workers: int = Field(ge=1, description="cores or GPUs that train")
    memory_bytes: int = Field(description="of the machine, or of one GPU")
    program_bytes: int = Field(default=0, description="of a worker before it has a model")
    products: dict[int, float] = Field(default={}, description="FLOP/s of a product, by its smallest side; one worker")
    bytes_per_second: float = Field(description="of memory, one worker")
    factor: float = Field(default=1.0, description="seconds of a probe over those that products and memory give")
    call_seconds: float = Field(default=0.0, description="for each layer and micro-shard, whatever its size")
    exchange_bytes_per_second: float | None = Field(default=None, description="of gradients between workers")
    peak_flops: float = Field(description="FLOP/s of one worker, of its best product, or as published")
    mfu: float | None = Field(
        default=None, description="assumed share of the peak, of a mixture of experts; null: measured"
    )
    dense_mfu: float | None = Field(default=None, description="the same, of a dense model")
    probes: tuple[Probe, ...] = ()
    source: str = Field(default="measured", description="where the figures are from")

    def seconds_per_step(self, blueprint: Blueprint) -> float:
        """Of an optimizer step, all workers together."""
        if self.mfu is not None:
            return (
                blueprint.flops_per_token
                * blueprint.training.batch_tokens
                / (self.workers * self.peak_flops * self.mfu)
            )
        workers = self.busy_workers(blueprint.training.micro_shards)
        alone, exchange = self.modelled(blueprint, workers=workers)
        return alone * self.factor + exchange + self._call_seconds(blueprint) / workers

    def busy_workers(self, micro_shards: int) -> int:
        """Workers that share the micro-shards: a power of two, as `tasks/compute/cluster.py` lays them out."""
        return 1 << (max(1, min(self.workers, micro_shards)).bit_length() - 1)

    def modelled(self, blueprint: Blueprint, *, workers: int = 1) -> tuple[float, float]:
        """Seconds of a step's products and of what it moves, with `workers` of them; and of what they exchange."""
        work = work_of(blueprint.shape, blueprint.training)
        multiply = (self._multiply(work.products.items()) + self._multiply(work.shared.items())) / workers
        move = work.weight_bytes / self.bytes_per_second
        weights = _FP32_BYTES * blueprint.total_parameters
        # Gradients are summed, Muon's directions collected: each goes to a worker and comes back.
        speed = self.exchange_bytes_per_second
        exchange = 3 * weights * math.log2(workers) / speed if speed else 0.0
        return multiply + move, exchange

    def _call_seconds(self, blueprint: Blueprint) -> float:
        return work_of(blueprint.shape, blueprint.training).calls * self.call_seconds

    def _multiply(self, products: Iterable[tuple[int, float]]) -> float:
        return sum(flops / self._speed(side) for side, flops in products)

    def _speed(self, side: int) -> float:
        """FLOP/s of a product whose smallest side is this: between measured ones on a line of logarithms."""
        known = sorted(self.products)
        side = min(max(side, known[0]), known[-1])
        high = next(each for each in known if each >= side)
        low = max(each for each in known if each <= side)
        if low == high:
            return self.products[low]
        part = math.log(side / low) / math.log(high / low)
        return float(self.products[low] ** (1 - part) * self.products[high] ** part)

    def memory_needed(self, blueprint: Blueprint) -> int:
        """Bytes at the fullest moment: of all workers on a CPU, of one on a GPU."""
        each = self.program_bytes + blueprint.memory_bytes
        return each * self.busy_workers(blueprint.training.micro_shards) if self.device == "cpu" else each


def _gpu(name: str, *, tera: float, gigabytes: float, terabytes_per_second: float, source: str) -> Machine:
    return Machine(
        name=name, device="gpu", workers=1, memory_bytes=int(gigabytes * 1e9), peak_flops=tera * 1e12,
        bytes_per_second=terabytes_per_second * 1e12, mfu=MFU, dense_mfu=DENSE_MFU,
        program_bytes=2 * _GIB, source=source,
    )  # fmt: skip


# bf16 products, memory and its speed, as the makers state them: half of what they state "with sparsity".
_NVIDIA = "https://www.nvidia.com/en-us/data-center"
PUBLISHED: Mapping[str, Machine] = {
    machine.name: machine
    for machine in (
        _gpu("l4", tera=121, gigabytes=24, terabytes_per_second=0.3, source=f"{_NVIDIA}/l4/"),
        _gpu("l40s", tera=362, gigabytes=48, terabytes_per_second=0.864, source=f"{_NVIDIA}/l40s/"),
        _gpu("a100", tera=312, gigabytes=80, terabytes_per_second=2.039, source=f"{_NVIDIA}/a100/"),
        _gpu("h100", tera=989, gigabytes=80, terabytes_per_second=3.35, source=f"{_NVIDIA}/h100/"),
        _gpu("h800", tera=989, gigabytes=80, terabytes_per_second=3.35, source="https://arxiv.org/abs/2412.19437"),
        _gpu("h200", tera=989, gigabytes=141, terabytes_per_second=4.8, source=f"{_NVIDIA}/h200/"),
        _gpu("b200", tera=2250, gigabytes=180, terabytes_per_second=8.0, source=f"{_NVIDIA}/dgx-b200/"),
        _gpu("mi300x", tera=1307, gigabytes=192, terabytes_per_second=5.3,
             source="https://www.amd.com/en/products/accelerators/instinct/mi300/mi300x.html"),
    )
}  # fmt: skip


def published(name: str, *, workers: int = 1, mfu: float | None = None) -> Machine:
    """A machine of the table, or of several of its GPUs.

    Raises:
        PlanError: it is not in the table.
    """
    if name not in PUBLISHED:
        raise PlanError(f"no machine {name!r}: known are {', '.join(PUBLISHED)}; leave it out to measure this one")
    known = PUBLISHED[name]
    said = {"mfu": mfu, "dense_mfu": mfu} if mfu else {}
    return known.model_copy(update={"workers": workers, **said})
