"""Published trainings beside what the planner says of them: GPU hours, by its count of operations and its assumed MFU.

`python -m benchmarks.published [--json FILE]`. Takes no time; nothing is trained.
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from tasks.algorithm.cost import active_parameters, flops_per_token
from tasks.algorithm.machines import published
from tasks.algorithm.shape import Shape

_DEEPSEEK_V3 = Shape(
    vocab_size=129_280, sequence_length=4096, width=7168, n_layers=61, n_dense_layers=3, n_heads=128, q_lora_rank=1536,
    kv_lora_rank=512, qk_nope_head_dim=128, qk_rope_head_dim=64, v_head_dim=128, dense_ffn_width=18_432,
    expert_ffn_width=2048, n_experts=256, top_k=8, n_shared_experts=1, n_groups=8, top_k_groups=4,
    routed_scaling_factor=2.5, rope_theta=10_000.0, norm_eps=1e-6,
)  # fmt: skip


class Published(NamedTuple):
    """A training whose hours were reported."""

    name: str
    machine: str
    gpus: int
    training_flops: float
    is_mixture: bool
    reported_gpu_hours: float
    source: str


def with_attention(*, matrices: float, layers: int, heads: int, head_dim: int, sequence: int) -> float:
    """Operations to train on a token, of models with other attention than ours: as `cost.flops_per_token` counts."""
    return 6 * matrices + 3 * layers * heads * 2 * head_dim * (sequence + 1)


# OLMoE: 1.3 billion of 6.9 billion parameters are active, of which 50,304 x 2048 are looked up.
_OLMOE = with_attention(matrices=1.3e9 - 50_304 * 2048, layers=16, heads=16, head_dim=128, sequence=4096)
# nanochat: its own count for run 1, which reads 12 tokens a parameter; run 6 is the same model and reads 8.
_NANOCHAT_RUN_1 = 4.330784e19
_NANOCHAT = "https://github.com/karpathy/nanochat/blob/master/dev/LEADERBOARD.md"

RUNS = (
    Published(
        name="DeepSeek-V3, 14.8 T tokens (FP8)", machine="h800", gpus=2048, is_mixture=True,
        training_flops=flops_per_token(_DEEPSEEK_V3) * 14.8e12, reported_gpu_hours=2.788e6,
        source="https://arxiv.org/abs/2412.19437",
    ),
    Published(
        name="OLMoE-1B-7B, 5.1 T tokens", machine="h100", gpus=256, is_mixture=True, training_flops=_OLMOE * 5.133e12,
        reported_gpu_hours=256 * 240, source="https://arxiv.org/abs/2409.02060",
    ),
    Published(
        name="nanochat d24, run 1 (bf16)", machine="h100", gpus=8, is_mixture=False, training_flops=_NANOCHAT_RUN_1,
        reported_gpu_hours=8 * 3.04, source=_NANOCHAT,
    ),
    Published(
        name="nanochat d24, run 6 (FP8)", machine="h100", gpus=8, is_mixture=False,
        training_flops=_NANOCHAT_RUN_1 * 8 / 12, reported_gpu_hours=8 * 1.65, source=_NANOCHAT,
    ),
)  # fmt: skip


def compare(run: Published) -> dict[str, Any]:
    """GPU hours predicted and reported, and the MFU that would have been right."""
    machine = published(run.machine, workers=run.gpus)
    mfu = machine.mfu if run.is_mixture else machine.dense_mfu
    peak_hours = run.training_flops / machine.peak_flops / 3600
    predicted = peak_hours / (mfu or 1.0)
    return {
        "run": run.name, "machine": f"{run.gpus} x {run.machine}", "training_flops": run.training_flops, "mfu": mfu,
        "predicted_gpu_hours": predicted, "reported_gpu_hours": run.reported_gpu_hours,
        "factor": predicted / run.reported_gpu_hours, "mfu_reached": peak_hours / run.reported_gpu_hours,
        "source": run.source,
    }  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.published", description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the raw figures")
    options = parser.parse_args()
    rows = [compare(run) for run in RUNS]
    table = Table("run", "on", "MFU assumed", "GPU hours predicted", "reported", "factor", "MFU that it reached")
    for row in rows:
        hours = (f"{row[key]:,.0f}" for key in ("predicted_gpu_hours", "reported_gpu_hours"))
        table.add_row(
            row["run"], row["machine"], f"{row['mfu']:.0%}", *hours, f"{row['factor']:.2f}", f"{row['mfu_reached']:.0%}"
        )
    Console().print(table)
    active = active_parameters(_DEEPSEEK_V3) / 1e9
    print(f"active parameters of DeepSeek-V3 by our count: {active:.1f} billion, 37 stated")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
