"""Training tokens a CPU second of our model beside transformers' DeepSeek-V3: same weights, batch and optimizer.

`python -m benchmarks.train --json FILE`. fp32, one thread, runs of both taken in turns so that a busy machine slows
both; medians count. The peer runs with the fastest of its own implementations of experts and attention. The limit
beside both is the machine's fp32 matrix product, measured in between.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import DeepseekV3ForCausalLM
from transformers.utils import logging as transformers_logging

from tasks.algorithm.cost import flops_per_token
from tasks.algorithm.huggingface import hf_config, to_hf
from tasks.algorithm.model import Model
from tasks.algorithm.shape import Shape
from tasks.compute.meter import hardware

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

Step = Callable[[], float]


def make_step(model: nn.Module, loss: Callable[[], Tensor]) -> Step:
    """One training step with AdamW; its loss in nats a token."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> float:
        optimizer.zero_grad()
        now = loss()
        now.backward()
        optimizer.step()
        return now.item()

    return step


def our_step(shape: Shape, tokens_BS: Tensor) -> tuple[Model, Step]:
    """Our model and a step of it; the last position has no target, as transformers counts."""
    model = Model(shape)
    model.init_weights(1)
    inputs_BS, targets_BS = tokens_BS[:, :-1], tokens_BS[:, 1:]
    return model, make_step(model, lambda: model.loss(inputs_BS, targets_BS) / targets_BS.numel())


def peer_step(folder: Path, tokens_BS: Tensor, choice: dict[str, Any]) -> Step:
    """A step of transformers' model on the weights in a folder."""
    model = DeepseekV3ForCausalLM.from_pretrained(folder, dtype=torch.float32, **choice).train()
    return make_step(model, lambda: model(input_ids=tokens_BS, labels=tokens_BS, use_cache=False).loss)


def fastest_peer(folder: Path, tokens_BS: Tensor) -> tuple[dict[str, Any], Step]:
    """The peer's best choice, each tried after a step that does not count."""
    tried = []
    for choice in PEER_CHOICES:
        step = peer_step(folder, tokens_BS, choice)
        step()
        tried.append((min(cpu_seconds(step) for _ in range(_TRIALS)), choice))
    best = min(tried, key=lambda pair: pair[0])[1]
    return best, peer_step(folder, tokens_BS, best)


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process that `work` takes."""
    before = time.process_time()
    work()
    return time.process_time() - before


def compare(name: str, repeats: int) -> dict[str, Any]:
    """Figures of one size.

    Raises:
        RuntimeError: the two models do not compute the same loss, so their times mean nothing.
    """
    shape = SHAPES[name]
    generator = torch.Generator().manual_seed(0)
    tokens_BS = torch.randint(0, shape.vocab_size, (N_SEQUENCES, shape.sequence_length), generator=generator)
    model, ours = our_step(shape, tokens_BS)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(hf_config(shape)))
        save_file(to_hf(model.state_dict(), shape), Path(folder) / "model.safetensors", metadata={"format": "pt"})
        choice, peer = fastest_peer(Path(folder), tokens_BS)
    losses = ours(), peer()
    if abs(losses[0] - losses[1]) > 1e-4:
        raise RuntimeError(f"{name}: losses of the first step differ: ours {losses[0]}, transformers' {losses[1]}")
    square = torch.ones(_PEAK_SIZE, _PEAK_SIZE)
    seconds: dict[str, list[float]] = {"ours": [], "transformers": [], "matmul": []}
    for _ in range(repeats):
        seconds["ours"].append(cpu_seconds(ours))
        seconds["transformers"].append(cpu_seconds(peer))
        seconds["matmul"].append(min(cpu_seconds(lambda: square @ square) for _ in range(5)))
    return {"peer": choice, "seconds": seconds} | figures(shape, tokens_BS.numel(), seconds)


def figures(shape: Shape, n_tokens: int, seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Medians as tokens a CPU second, and as a share of the matrix product's speed."""
    peak = 2 * _PEAK_SIZE**3 / min(seconds["matmul"])
    speed = {model: n_tokens / statistics.median(seconds[model]) for model in ("ours", "transformers")}
    return {
        "tokens_per_cpu_second": speed,
        "share_of_matmul_peak": {model: each * flops_per_token(shape) / peak for model, each in speed.items()},
        "matmul_peak_flops_per_second": peak,
        "ratio": speed["ours"] / speed["transformers"],
    }


def main() -> None:
    """Compare, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="file for the raw figures")
    parser.add_argument("--size", choices=list(SHAPES), help="one size; both unless given")
    parser.add_argument("--peer", choices=["transformers"], default="transformers", help="what to compare with")
    parser.add_argument("--repeats", type=int, default=10, help="steps of each; the median counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    sizes = [options.size] if options.size else list(SHAPES)
    results = {name: compare(name, options.repeats) for name in sizes}
    table = Table("size", "model", "tokens / CPU s", "of matmul peak", "ratio")
    for name, result in results.items():
        for model, speed in result["tokens_per_cpu_second"].items():
            share, ratio = result["share_of_matmul_peak"][model], result["ratio"] if model == "ours" else 1.0
            table.add_row(name, model, f"{speed:,.0f}", f"{share:.0%}", f"{ratio:.2f}")
    Console().print(table)
    options.json.write_text(json.dumps({"machine": hardware(), "sizes": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
