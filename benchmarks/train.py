"""Training tokens a CPU second of our model beside transformers' DeepSeek-V3: same weights, batches and optimizer.

`python -m benchmarks.train --json FILE`; `--compile`, `--muon`, `--dense` and `--workers 2` add what each is held
against. fp32, one thread, runs of all taken in turns so that a busy machine slows all; medians count. The peer runs
with the fastest of its own implementations of experts and attention, as it comes and with the products that we use.
The limit beside all is the machine's fp32 matrix product, measured in between.
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import DeepseekV3ForCausalLM
from transformers.utils import logging as transformers_logging

from benchmarks import train_workers
from tasks.algorithm.cost import active_parameters, flops_per_token
from tasks.algorithm.huggingface import hf_config, to_hf
from tasks.algorithm.model import Model
from tasks.algorithm.optimizer import build_optimizer, clip_gradients
from tasks.algorithm.products import widest_products
from tasks.algorithm.shape import Shape
from tasks.compute.meter import hardware
from tasks.params import Train
from tasks.presets import PRESETS

N_SEQUENCES = 8
_COMMON: dict[str, Any] = {
    "n_dense_layers": 1, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "v_head_dim": 32, "n_shared_experts": 1,
    "n_groups": 1, "top_k_groups": 1, "routed_scaling_factor": 1.0, "rope_theta": 10_000.0, "norm_eps": 1e-6,
}  # fmt: skip
SHAPES = {
    "nano": Shape(
        vocab_size=2048, sequence_length=256, width=128, n_layers=4, n_heads=4, q_lora_rank=96, kv_lora_rank=64,
        dense_ffn_width=384, expert_ffn_width=112, n_experts=16, top_k=2, **_COMMON,
    ),
    "mini": Shape(
        vocab_size=8192, sequence_length=512, width=256, n_layers=6, n_heads=8, q_lora_rank=192, kv_lora_rank=128,
        dense_ffn_width=768, expert_ffn_width=128, n_experts=32, top_k=4, **_COMMON,
    ),
}  # fmt: skip
# batched_mm copies an expert's matrices for each token: gigabytes a layer at these batches.
PEER_CHOICES: list[dict[str, Any]] = [
    {"experts_implementation": experts, "attn_implementation": attention}
    for experts, attention in product(("grouped_mm", "eager"), ("sdpa", "eager"))
]
_PEAK_SIZE = 1024
_TRIALS = 3
# Experts meet other numbers of tokens in each batch, as in a training.
_BATCHES = 4

Step = Callable[[], float]


@dataclass(frozen=True)
class Contestant:
    """One training step at a call, under the products that it is measured with."""

    step: Step
    products: Callable[[], AbstractContextManager[None]] = nullcontext

    def cpu_seconds(self) -> float:
        """CPU seconds of this process that a step takes."""
        with self.products():
            return cpu_seconds(self.step)


def batches(shape: Shape) -> list[Tensor]:
    """Random tokens (B, S), the same each time."""
    generator = torch.Generator().manual_seed(0)
    size = (N_SEQUENCES, shape.sequence_length)
    return [torch.randint(0, shape.vocab_size, size, generator=generator) for _ in range(_BATCHES)]


def make_step(model: nn.Module, loss: Callable[[Tensor], Tensor], shape: Shape) -> Step:
    """One training step with AdamW; its loss in nats a token."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    data: Iterator[Tensor] = cycle(batches(shape))

    def step() -> float:
        optimizer.zero_grad()
        now = loss(next(data))
        now.backward()
        optimizer.step()
        return now.item()

    return step


def our_step(shape: Shape) -> tuple[Model, Step]:
    """Our model and a step of it; the last position has no target, as transformers counts."""
    model = Model(shape)
    model.init_weights(1)

    def loss(tokens_BS: Tensor) -> Tensor:
        targets_BS = tokens_BS[:, 1:]
        return model.loss(tokens_BS[:, :-1], targets_BS) / targets_BS.numel()

    return model, make_step(model, loss, shape)


def load_peer(folder: Path, choice: dict[str, Any]) -> nn.Module:
    """transformers' model on the weights in a folder."""
    model: nn.Module = DeepseekV3ForCausalLM.from_pretrained(folder, dtype=torch.float32, **choice).train()
    return model


def peer_step(shape: Shape, folder: Path, choice: dict[str, Any], *, compiled: bool = False) -> Step:
    """A step of transformers' model."""
    model = load_peer(folder, choice)
    call: Any = torch.compile(model) if compiled else model
    return make_step(model, lambda tokens: call(input_ids=tokens, labels=tokens, use_cache=False).loss, shape)


def fastest_peer(shape: Shape, folder: Path) -> dict[str, Any]:
    """The peer's best choice, each tried after a step that does not count."""
    tried = []
    for choice in PEER_CHOICES:
        step = peer_step(shape, folder, choice)
        step()
        tried.append((min(cpu_seconds(step) for _ in range(_TRIALS)), choice))
    return min(tried, key=lambda pair: pair[0])[1]


class MuonSteps:
    """Steps with our own optimizer, and the part of them that Muon takes."""

    def __init__(self, shape: Shape) -> None:
        self._model = Model(shape)
        self._model.init_weights(1)
        self._optimizer = build_optimizer(self._model, Train(**PRESETS["nano"]["train"]))
        self._data = cycle(batches(shape))
        self.seconds: list[float] = []

    def __call__(self) -> float:
        """One step."""
        tokens_BS = next(self._data)
        self._optimizer.zero_grad()
        loss = self._model.loss(tokens_BS[:, :-1], tokens_BS[:, 1:]) / tokens_BS[:, 1:].numel()
        loss.backward()
        clip_gradients(self._model.parameters(), 1.0)
        self.seconds.append(cpu_seconds(lambda: self._optimizer.step(0.01)))
        return loss.item()


def dense_shape(shape: Shape) -> Shape:
    """Without experts, every layer's feed-forward so wide that as many parameters are active."""
    dense = shape.model_copy(update={"n_dense_layers": shape.n_layers})
    missing = active_parameters(shape) - active_parameters(dense)
    width = dense.dense_ffn_width + missing / (3 * shape.width * shape.n_layers)
    return dense.model_copy(update={"dense_ffn_width": 8 * round(width / 8)})


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process that `work` takes."""
    before = time.process_time()
    work()
    return time.process_time() - before


def compare(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one size.

    Raises:
        RuntimeError: the two models do not compute the same loss, so their times mean nothing.
    """
    shape = SHAPES[name]
    model, ours = our_step(shape)
    contestants = {"ours": Contestant(ours, widest_products)}
    with tempfile.TemporaryDirectory() as folder:
        write_peer(model, Path(folder))
        choice = fastest_peer(shape, Path(folder))
        peer = peer_step(shape, Path(folder), choice)
        contestants["transformers"] = Contestant(peer)
        same = peer_step(shape, Path(folder), choice)
        contestants["transformers, our products"] = Contestant(same, widest_products)
        if options.compile and shutil.which("g++"):
            contestants["transformers, compiled"] = Contestant(peer_step(shape, Path(folder), choice, compiled=True))
        walls = train_workers.compare(name, Path(folder), choice, options) if options.workers else {}
    muon = MuonSteps(shape)
    if options.muon:
        contestants["ours with Muon"] = Contestant(muon, widest_products)
    if options.dense:
        contestants["ours, dense"] = Contestant(our_step(dense_shape(shape))[1], widest_products)
    losses = ours(), peer()
    if abs(losses[0] - losses[1]) > 1e-4:
        raise RuntimeError(f"{name}: losses of the first step differ: ours {losses[0]}, transformers' {losses[1]}")
    seconds = take_turns(contestants, options.repeats)
    found = {"peer": choice, "seconds": seconds} | figures(shape, seconds) | ({"workers": walls} if walls else {})
    if options.muon:
        found["muon_share"] = statistics.median(muon.seconds) / statistics.median(seconds["ours with Muon"])
    return found


def write_peer(model: Model, folder: Path) -> None:
    """Our weights as transformers reads them."""
    (folder / "config.json").write_text(json.dumps(hf_config(model.shape)))
    save_file(to_hf(model.state_dict(), model.shape), folder / "model.safetensors", metadata={"format": "pt"})


def take_turns(contestants: dict[str, Contestant], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each one's steps and of the matrix product; kernels are made in steps that do not count."""
    square = torch.ones(_PEAK_SIZE, _PEAK_SIZE)
    contestants = {**contestants, "matmul": Contestant(lambda: float((square @ square)[0, 0]), widest_products)}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(-_BATCHES, repeats):
        for name, contestant in contestants.items():
            found = contestant.cpu_seconds()
            if turn >= 0:
                seconds[name].append(found)
    return seconds


def figures(shape: Shape, seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Medians as tokens a CPU second, as a share of the matrix product's speed, and how often ours is as fast."""
    peak = 2 * _PEAK_SIZE**3 / min(seconds["matmul"])
    n_tokens = N_SEQUENCES * shape.sequence_length
    speed = {name: n_tokens / statistics.median(each) for name, each in seconds.items() if name != "matmul"}
    return {
        "tokens_per_cpu_second": speed,
        # The dense model has other matrices, but as many parameters: the same operations but for the router's.
        "share_of_matmul_peak": {name: each * flops_per_token(shape) / peak for name, each in speed.items()},
        "matmul_peak_flops_per_second": peak,
        "ours_over": {name: speed["ours"] / each for name, each in speed.items()},
    }


def show(results: dict[str, dict[str, Any]]) -> None:
    """Tables of all sizes."""
    table = Table("size", "model", "tokens / CPU s", "of matmul peak", "ours is faster")
    walls = Table("size", "on all cores", "tokens / s", "workers exchange / ours is faster")
    for name, result in results.items():
        for model, speed in result["tokens_per_cpu_second"].items():
            share, ratio = result["share_of_matmul_peak"][model], result["ours_over"][model]
            table.add_row(name, model, f"{speed:,.0f}", f"{share:.0%}", f"{ratio:.2f} x")
        if "muon_share" in result:
            table.add_row(name, "Muon's share of its step", "", f"{result['muon_share']:.0%}", "")
        best = max((each for key, each in result.get("workers", {}).items() if key.startswith("ours")), default=0.0)
        for key, speed in result.get("workers", {}).items():
            walls.add_row(name, key, f"{speed:,.0f}", f"{best / speed:.2f} x")
    Console().print(table)
    if walls.row_count:
        Console().print(walls)


def main() -> None:
    """Compare, print tables, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="file for the raw figures")
    parser.add_argument("--size", choices=list(SHAPES), help="one size; both unless given")
    parser.add_argument("--peer", choices=["transformers"], default="transformers", help="what to compare with")
    parser.add_argument("--repeats", type=int, default=10, help="steps of each; the median counts")
    parser.add_argument("--compile", action="store_true", help="also the peer under torch.compile; needs g++")
    parser.add_argument("--muon", action="store_true", help="also with our optimizer: Muon's share of a step")
    parser.add_argument("--dense", action="store_true", help="also our dense model of as many active parameters")
    parser.add_argument("--workers", type=int, default=0, help="also wall clock of so many workers and of one")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    sizes = [options.size] if options.size else list(SHAPES)
    results = {name: compare(name, options) for name in sizes}
    show(results)
    if options.compile and not shutil.which("g++"):
        Console().print("no g++ on this machine: torch.compile left out")
    options.json.write_text(json.dumps({"machine": hardware(), "sizes": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
