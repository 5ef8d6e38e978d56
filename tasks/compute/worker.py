"""A job -> its part of the training, as a process that Ray starts; rank 0 writes weights and curve."""

import faulthandler
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch

from infra.storage import open_store
from tasks.algorithm.blueprint import Blueprint
from tasks.algorithm.cost import memory
from tasks.algorithm.model import save_weights
from tasks.compute.base import base_weights
from tasks.compute.batches import Batches, open_stream
from tasks.compute.cluster import worker_group
from tasks.compute.job import CURVES_FILE, WEIGHTS_FILE, Job
from tasks.compute.loop import Checkpoints, Run, train
from tasks.compute.meter import Meter, total
from tasks.compute.spread import Place
from tasks.progress import Progress
from tasks.report import StepError

logger = logging.getLogger(__name__)

# Share of the memory that predicted weights, gradients, optimizer and activations may take.
_FILLED = 0.8


def work(config: dict[str, Any]) -> dict[str, Any]:
    """Train as one of the workers: what was `measured`, or an `error` that would only come again."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    job = Job(**config)
    with ends_when_stalled(job.stall_seconds) as beat, worker_group(job.device) as (rank, workers):
        import ray.train

        here = ray.train.get_context().get_local_world_size()
        return work_at(Place(rank, workers, job.device, here, job.expert_workers), job, beat)


@contextmanager
def ends_when_stalled(seconds: int) -> Iterator[Callable[[], None]]:
    """End this process, saying where each thread is, unless what is yielded is called again within so many seconds.

    A worker that hangs waits for ever and so do all others with it; one that dies is started again.
    """

    def beat() -> None:
        faulthandler.dump_traceback_later(seconds, exit=True)

    beat()
    try:
        yield beat
    finally:
        faulthandler.cancel_dump_traceback_later()


def work_at(place: Place, job: Job, beat: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """`work`, once the workers are connected; `beat` is called after each optimizer step."""
    run = open_run(Path(job.artifacts), place)
    try:
        meter = _train(run, job, beat)
    except StepError as error:
        return {"error": str(error)}
    write_outputs(run, Path(job.out))
    training = run.blueprint.training
    how = {
        "precision": training.precision,
        "parallel": training.parallel,
        "expert_workers": place.among if training.parallel == "shard" else 1,
        "activation_checkpointing": run.recompute,
    }
    return {"measured": how | meter.measured(tokens=run.tokens, workers=place.workers)}


def open_run(artifacts: Path, place: Place) -> Run:
    """The run that a workspace's blueprint, base and token stream describe, before its first step."""
    blueprint = Blueprint.read(artifacts / "blueprint")
    length, training = blueprint.shape.sequence_length, blueprint.training
    stream = open_stream(artifacts / "pack")
    batches = Batches(stream, length, training.batch_tokens // length, training.seed)
    # One decision for all: what one computes twice is exchanged twice.
    wanted = total(torch.tensor(int(recomputes(blueprint, room_bytes(place), place)), device=place.device))
    run = Run(blueprint, batches, place, recompute=bool(wanted))
    weights = base_weights(artifacts, blueprint.shape)
    if weights is not None:
        run.begin_from(weights)
    return run


def room_bytes(place: Place) -> int:
    """Memory that a worker may count on: its GPU's, or its share of the machine's."""
    if place.device == "cuda":
        return torch.cuda.mem_get_info()[1]
    return psutil.virtual_memory().total // place.here


def recomputes(blueprint: Blueprint, room: int, place: Place) -> bool:
    """Whether layers are computed twice for want of memory: by `train.activation_checkpointing`. Same bits either way.

    `auto` does so where the memory that is predicted leaves too little room for what it does not know of.
    """
    choice = blueprint.training.activation_checkpointing
    needs = memory(blueprint.shape, blueprint.training, workers=place.workers, expert_workers=place.among).total
    if needs > _FILLED * room and place.rank == 0:
        logger.info(
            "a worker of %d has %.1f GiB and needs %.1f, by train.parallel: %s",
            place.workers, room / 2**30, needs / 2**30, blueprint.training.parallel,
        )  # fmt: skip
    return choice == "on" or (choice == "auto" and needs > _FILLED * room)


def write_outputs(run: Run, out: Path) -> None:
    """Weights and curve of a run that ended, by rank 0; all workers call it together."""
    weights = run.weights()
    if run.place.rank:
        return
    save_weights(weights, out / WEIGHTS_FILE)
    lines = [json.dumps(line, allow_nan=False) + "\n" for line in run.curve]
    (out / CURVES_FILE).write_text("".join(lines), encoding="utf-8")


def _train(run: Run, job: Job, beat: Callable[[], None]) -> Meter:
    is_first = run.place.rank == 0
    file = Path(job.progress) if is_first else None
    with Progress("train", total=run.blueprint.steps, unit="steps", file=file) as progress:

        def watch(run: Run, meter: Meter) -> None:
            beat()
            if is_first:
                progress.update(run.step, f"loss {run.curve[-1]['loss']:.3f}, {meter.note()}")

        return train(run, Checkpoints(open_store(job.checkpoints), job.name, job.checkpoint_steps), watch)
