"""This machine -> its record for a plan: speeds of products and memory, and short real trainings to hold them against.

Takes less than half a minute. On a CPU it counts the process's own seconds: what else runs now does not count.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch

from infra.processes import usable_cores
from infra.settings import Settings
from tasks.algorithm.blueprint import Blueprint
from tasks.algorithm.family import family
from tasks.algorithm.machines import Machine, Probe
from tasks.algorithm.work import work_of
from tasks.compute.batches import Batches
from tasks.compute.loop import Run, own_arithmetic
from tasks.compute.meter import hardware
from tasks.compute.spread import Place
from tasks.params import parse

# What the products of small models are like: so many rows, and sides from an expert's share of them up.
_ROWS = 1024
_SIDES = (16, 32, 64, 128, 256, 512, 1024)
_PRODUCT_SECONDS = 0.15
_MOVED_BYTES = 1 << 26
# Narrow and wide of the family: how far seconds grow with work, and how far with calls.
_PROBES: tuple[dict[str, int], ...] = ({"width": 64, "n_layers": 3}, {"width": 192, "n_layers": 5})
_PROBE_SECONDS = 4.0
# Of Ray's worker before it has a model, with torch: what two that trained held (1608 MiB) but for their models.
_WORKER_BYTES = 760 << 20
# Of gloo between processes of one machine: assumed, so that two workers are 1.8 times one at preset nano.
_EXCHANGE_BYTES_PER_SECOND = 0.7e9


def measure(settings: Settings) -> Machine:
    """Record of this machine; the same workers as `train` would have."""
    has_gpu = settings.device != "cpu" and torch.cuda.is_available()
    device = "cuda" if has_gpu else "cpu"
    found = torch.cuda.device_count() if has_gpu else usable_cores()
    known = hardware()
    with own_arithmetic(device):
        blueprints = [probe_blueprint(**probe) for probe in _PROBES]
        seconds = [_step_seconds(blueprint, device) for blueprint in blueprints]
        products = {side: _product_speed(side, device) for side in _SIDES}
        machine = Machine(
            name=known["gpus"][0] if has_gpu else f"{known['processor']}, {found} cores",
            device="gpu" if has_gpu else "cpu",
            workers=settings.workers or found,
            program_bytes=_WORKER_BYTES,
            memory_bytes=torch.cuda.mem_get_info()[1] if has_gpu else known["memory_bytes"],
            products=products,
            bytes_per_second=_memory_speed(device),
            exchange_bytes_per_second=_EXCHANGE_BYTES_PER_SECOND,
            peak_flops=max(products.values()),
        )
    return _held_against(machine, blueprints, seconds)


def _step_seconds(blueprint: Blueprint, device: Any) -> float:
    """Of real optimizer steps on random tokens; the first, which compiles and allocates, does not count."""
    training, length = blueprint.training, blueprint.shape.sequence_length
    random = np.random.default_rng(0)
    stream = random.integers(0, blueprint.shape.vocab_size, 4 * training.batch_tokens, dtype=np.uint16)
    run = Run(blueprint, Batches(stream, length, training.batch_tokens // length, 0), Place(device=device))
    run.advance()
    seconds: list[float] = []
    while len(seconds) < 2 or (sum(seconds) < _PROBE_SECONDS and run.step < blueprint.steps):
        seconds.append(_seconds(run.advance, device))
    return median(seconds)


def _held_against(machine: Machine, blueprints: list[Blueprint], seconds: list[float]) -> Machine:
    """The record with probes, and the two numbers that make it foretell them."""
    probes = [
        Probe(
            shape=f"width {blueprint.shape.width}, {blueprint.shape.n_layers} layers",
            training_flops=blueprint.flops_per_token,
            seconds_per_step=found,
            modelled=machine.modelled(blueprint)[0],
            calls=work_of(blueprint.shape, blueprint.training).calls,
        )
        for blueprint, found in zip(blueprints, seconds, strict=True)
    ]
    factor, call_seconds = _fit([(probe.seconds_per_step, probe.modelled, probe.calls) for probe in probes])
    return machine.model_copy(update={"probes": tuple(probes), "factor": factor, "call_seconds": call_seconds})


def probe_blueprint(*, width: int, n_layers: int) -> Blueprint:
    """Of a shape of the family, trained as preset nano is."""
    shape = family(width=width, n_layers=n_layers, n_experts=16, top_k=2)
    return Blueprint.make(
        parse({"blueprint": {"preset": "nano", **shape}, "discover": {"sources": ["random"]}}, origin="the probe")
    )


def _fit(probes: list[tuple[float, float, float]]) -> tuple[float, float]:
    """Factor on modelled seconds and seconds a call that give the probes' own; neither below zero.

    Of two probes it is the solution of two equations; where a call would take less than nothing, calls are free.
    """
    (first, modelled, calls), (second, more, more_calls) = probes
    determinant = modelled * more_calls - more * calls
    call_seconds = (second * modelled - first * more) / determinant if determinant else 0.0
    factor = (first - call_seconds * calls) / modelled
    if call_seconds < 0 or factor < 0:
        return second / more, 0.0
    return factor, call_seconds


def _product_speed(side: int, device: str) -> float:
    """FLOP/s of rows times a square matrix: the best of a short while."""
    left, right = torch.ones(_ROWS, side, device=device), torch.ones(side, side, device=device)
    out = torch.empty(_ROWS, side, device=device)
    repeats = max(1, (1 << 24) // (_ROWS * side * side))

    def multiply() -> None:
        for _ in range(repeats):
            torch.mm(left, right, out=out)

    return 2 * repeats * _ROWS * side * side / _best(multiply, device)


def _memory_speed(device: str) -> float:
    """Bytes a second that adding two vectors reads and writes."""
    left, right = (torch.ones(_MOVED_BYTES // 4, device=device) for _ in range(2))
    return 3 * _MOVED_BYTES / _best(lambda: left.add_(right), device)


def _best(work: Callable[[], object], device: str) -> float:
    """Seconds of `work` when nothing is in its way."""
    work()
    end, best = time.perf_counter() + _PRODUCT_SECONDS, float("inf")
    while time.perf_counter() < end:
        best = min(best, _seconds(work, device))
    return best


def _seconds(work: Callable[[], object], device: str) -> float:
    """On a CPU those of this process."""
    if device == "cuda":
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - start
    start = time.process_time()
    work()
    return time.process_time() - start
