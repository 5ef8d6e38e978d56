"""A training run -> what it took: time, operations a second beside the measured peak, memory, hardware."""

import os
import platform
import resource
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.distributed as dist
from torch import Tensor

_MATRIX = {"cpu": 1024, "cuda": 8192}
_PEAK_SECONDS = 0.2
# Seconds of the past that the shown speed is made of.
_WINDOW_SECONDS = 10.0
_SPEED_POINTS = 100


def matmul_peak(device: str) -> float:
    """Floating-point operations a second of the best fp32 matrix product of a short while, on this worker's share.

    Workers call it together, since cores of one chip share its power and memory.
    """
    size = _MATRIX[device]
    left = torch.ones(size, size, device=device)
    out = torch.empty_like(left)
    torch.mm(left, left, out=out)
    best, end = float("inf"), time.perf_counter() + _PEAK_SECONDS
    while time.perf_counter() < end:
        _wait(device)
        start = time.perf_counter()
        torch.mm(left, left, out=out)
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


class Meter:
    """Speed and cost of a run on one worker, added up over all of them, earlier parts of a resumed run included."""

    def __init__(
        self, *, device: str, flops_per_token: int, before: dict[str, float] | None = None, tokens_before: int = 0
    ) -> None:
        self._device, self._flops_per_token = device, flops_per_token
        # Each worker's own, added up: what one took is not known to the others.
        self.peak_flops = float(total(torch.tensor([matmul_peak(device)], dtype=torch.float64, device=device)))
        self._before = before or {"wall_seconds": 0.0, "cpu_seconds": 0.0, "waited_seconds": 0.0}
        self._waited = 0.0
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        self._window: list[tuple[float, int]] = [(self._wall, 0)]
        self._tokens, self._tokens_before = 0, tokens_before
        # Tokens and the second at which they were trained, of this part of the run: of every so many steps.
        self._pace: list[tuple[int, float]] = [(0, self._wall)]
        self._steps, self._every = 0, 1

    def add(self, tokens: int, *, waited: float = 0.0) -> None:
        """Count trained tokens, all workers' together, and the seconds that this worker waited to be given its own."""
        self._tokens += tokens
        self._waited += waited
        self._window.append((time.perf_counter(), self._tokens))
        self._keep_pace()
        while self._window[-1][0] - self._window[1][0] > _WINDOW_SECONDS:
            self._window.pop(0)

    def note(self) -> str:
        """Speed of the last seconds, for people."""
        (then, old), (now, new) = self._window[0], self._window[-1]
        tokens_per_second = (new - old) / max(now - then, 1e-9)
        flops = tokens_per_second * self._flops_per_token
        return f"{tokens_per_second:,.0f} tokens/s, {flops / 1e9:,.0f} GFLOP/s ({flops / self.peak_flops:.0%} of peak)"

    def spent(self) -> dict[str, float]:
        """Seconds of this worker so far; a checkpoint carries rank 0's."""
        return {
            "wall_seconds": self._before["wall_seconds"] + time.perf_counter() - self._wall,
            "cpu_seconds": self._before["cpu_seconds"] + time.process_time() - self._cpu,
            "waited_seconds": self._before["waited_seconds"] + self._waited,
        }

    def _keep_pace(self) -> None:
        """Fewer than twice as many points as are shown, however many steps there are."""
        self._steps += 1
        if self._steps % self._every:
            return
        self._pace.append((self._tokens, self._window[-1][0]))
        if len(self._pace) > 2 * _SPEED_POINTS:
            self._pace, self._every = self._pace[::2], 2 * self._every

    def speed(self) -> list[tuple[int, float]]:
        """Tokens of the run so far, and tokens a second since the point before; of this part of a resumed run."""
        last = (self._tokens, self._window[-1][0])
        points = self._pace if self._pace[-1] == last else [*self._pace, last]
        return [
            (self._tokens_before + tokens, round((tokens - old) / max(now - then, 1e-9), 1))
            for (old, then), (tokens, now) in pairwise(points)
        ]

    def measured(self, *, tokens: int, workers: int) -> dict[str, Any]:
        """The record of the run: all workers call it together.

        Args:
            tokens: tokens of the whole run.
            workers: how many there are.
        """
        spent = self.spent()
        own = [spent["cpu_seconds"], peak_rss(), spent["waited_seconds"]]
        cpu_seconds, fullest, waited = total(torch.tensor(own, dtype=torch.float64, device=self._device)).tolist()
        tokens_per_second = tokens / spent["wall_seconds"]
        flops = tokens_per_second * self._flops_per_token
        return {
            "tokens": tokens,
            "training_flops": tokens * self._flops_per_token,
            "wall_seconds": round(spent["wall_seconds"], 3),
            "cpu_seconds": round(cpu_seconds, 3),
            "waiting_share": round(waited / workers / spent["wall_seconds"], 5),
            "speed": self.speed(),
            "tokens_per_second": round(tokens_per_second, 1),
            "flops_per_second": round(flops),
            "matmul_peak_flops_per_second": round(self.peak_flops),
            "share_of_matmul_peak": round(flops / self.peak_flops, 4),
            "peak_rss_bytes": int(fullest),
            "workers": workers,
            "device": self._device,
            "threads_per_worker": torch.get_num_threads(),
            "hardware": hardware(),
        }


def hardware() -> dict[str, Any]:
    """What this machine is, in words and numbers."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def peak_rss() -> int:
    """Bytes of this process at its fullest so far."""
    # Kibibytes on Linux, bytes on macOS (`man getrusage`).
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def total(numbers: Tensor) -> Tensor:
    """Sum over all workers, in place; exact for whole numbers."""
    if dist.is_initialized():
        dist.all_reduce(numbers)
    return numbers


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
