"""Blueprint, base and token stream -> trained weights, by Ray Train on all workers that this machine or cluster gives.

Here is what surrounds the workers: inputs checked, Ray, the files of the step. `worker.py` is one of them, `loop.py`
its optimizer steps.
"""

import hashlib
import json
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_contracts.pieces import TRAIN, read_pieces
from infra.settings import Settings
from infra.storage import Store, open_store
from tasks.algorithm.blueprint import BLUEPRINT_FILE, Blueprint
from tasks.compute import cluster, pictures
from tasks.compute.base import BASE_FILE, read_base, require_same_shape
from tasks.compute.batches import check_stream, open_stream
from tasks.compute.division import check_division
from tasks.compute.job import CURVES_FILE, WEIGHTS_FILE, Job
from tasks.compute.prediction import Prediction
from tasks.params import Params
from tasks.report import Report, StepError, sha256_of, write_json

# torch and Ray are imported in functions only: Ray reads parts of its environment when it is imported, and the
# process that waits for the workers has no use for the seconds that torch takes.

logger = logging.getLogger(__name__)

PICTURE_FILE = "curves.png"
_PRECISIONS = {"fp32": "fp32", "bf16": "matrix products of layers in bf16, all else in fp32"}
_SUMS = {
    "replicate": "summed in a fixed binary tree",
    "shard": "summed by the library, weights in shards: last bits depend on the number of workers",
}
_ROOMS = (Path(__file__).parent, Path(__file__).parents[1] / "algorithm")


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Train; weights, curves and their picture are written to `out`, what it took to `settings.records`.

    Raises:
        StepError: blueprint and data or base do not fit, the loss diverged, or workers died too often.
    """
    started = time.monotonic()
    blueprint = Blueprint.read(settings.artifacts / "blueprint")
    training = blueprint.training
    require_same_shape(settings.artifacts, blueprint.shape)
    stream = open_stream(settings.artifacts / "pack")
    check_stream(stream, vocab_size=blueprint.shape.vocab_size, batch_tokens=training.batch_tokens)
    progress = settings.runs / "progress" / "train.json"
    try:
        with ThreadPoolExecutor(1) as pool:
            with cluster.start(settings, micro_shards=training.micro_shards) as ray:
                if training.parallel == "shard":
                    check_division(blueprint.shape, workers=ray.workers, expert_workers=settings.expert_workers)
                name = inputs_digest(settings.artifacts, device=ray.device)
                job = Job(
                    artifacts=str(settings.artifacts),
                    out=str(out.resolve()),
                    checkpoints=settings.checkpoints,
                    name=name,
                    checkpoint_steps=settings.checkpoint_steps,
                    stall_seconds=settings.stall_seconds,
                    progress=str(progress),
                    device=ray.device,
                    expert_workers=settings.expert_workers,
                )
                measured = _supervise(ray, job)
                curve = read_curve(out)
                picture = pool.submit(pictures.draw_training, curve, out / PICTURE_FILE)  # while Ray ends
            picture.result()
    finally:
        progress.unlink(missing_ok=True)
    digest = sha256_of(out / WEIGHTS_FILE)
    measured |= {"weights_sha256": digest, "step_seconds": round(time.monotonic() - started, 3)}
    if foretold := Prediction.of(settings, blueprint):
        measured["predicted"] = foretold.model_dump()
    write_json(settings.records / "measured" / f"{digest}.json", measured)
    pictures.draw_speed(measured["speed"], settings.records / "measured" / f"{digest}.png")
    _forget(open_store(settings.checkpoints), name)
    return _report(blueprint, curve, len(stream), read_base(settings.artifacts).get("ref"))


def inputs_digest(artifacts: Path, *, device: str) -> str:
    """Name of a run among checkpoints: digest of all that decides the weights, any code of both rooms included."""
    digest = hashlib.sha256(f"{device} torch {version('torch')} numpy {version('numpy')}".encode())
    pack = artifacts / "pack"
    files = [
        artifacts / "blueprint" / BLUEPRINT_FILE,
        artifacts / "discover" / BASE_FILE,
        *(pack / piece.tokens_file for piece in read_pieces(pack, TRAIN)),
    ]
    for file in [*files, *(module for room in _ROOMS for module in sorted(room.glob("*.py")))]:
        digest.update(f"{file.parent.name}/{file.name} {sha256_of(file)}\n".encode())
    return digest.hexdigest()[:32]


def _forget(checkpoints: Store, name: str) -> None:
    """Remove a run's checkpoints, so that the same run, forced anew, really trains."""
    for file in checkpoints.names(name):
        checkpoints.remove(f"{name}/{file}")


def read_curve(folder: Path) -> list[dict[str, Any]]:
    """Lines of `curves.jsonl`, one an optimizer step: loss in nats a token, learning rate, gradient norm, ..."""
    return [json.loads(line) for line in (folder / CURVES_FILE).read_text(encoding="utf-8").splitlines()]


def _supervise(ray: cluster.Cluster, job: Job) -> dict[str, Any]:
    from tasks.compute import supervisor, worker

    found = supervisor.run(ray, worker.work, asdict(job))
    if "error" in found:
        raise StepError(found["error"])
    measured: dict[str, Any] = found["measured"]
    logger.info(
        "%s tokens in %.0f s: %s tokens/s, %.0f GFLOP/s, %.0f %% of what the workers reach in a matrix product",
        f"{measured['tokens']:,}", measured["wall_seconds"], f"{measured['tokens_per_second']:,.0f}",
        measured["flops_per_second"] / 1e9, 100 * measured["share_of_matmul_peak"],
    )  # fmt: skip
    return measured


def _report(blueprint: Blueprint, curve: list[dict[str, Any]], stream_tokens: int, base: str | None) -> Report:
    training = blueprint.training
    last = [line["loss"] for line in curve[-max(1, len(curve) // 20) :]]
    began = f", on from {base}" if base else ""
    loss = round(sum(last) / len(last), 4)
    tokens = blueprint.steps * training.batch_tokens
    return Report(
        step="train",
        summary=f"{blueprint.steps:,} steps, {tokens:,} tokens, loss {loss:.3f} nats a token{began}",
        facts={
            "steps": blueprint.steps,
            "tokens": tokens,
            "epochs": round(tokens / stream_tokens, 3),
            "final_loss": loss,
            "base": base,
            "parameters": blueprint.total_parameters,
            "active_parameters": blueprint.active_parameters,
            "training_flops": blueprint.training_flops,
            "micro_shards": training.micro_shards,
            "arithmetic": f"{_PRECISIONS[training.precision]}; gradients of {training.micro_shards} micro-shards "
            f"{_SUMS[training.parallel]}",
        },
        pictures=(PICTURE_FILE,),
    )
