"""A job -> its part of the training, as a process that Ray starts; rank 0 writes weights and curve."""

import faulthandler
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.storage import open_store
from tasks.algorithm.blueprint import Blueprint
from tasks.algorithm.model import save_weights
from tasks.compute.base import base_weights
from tasks.compute.batches import Batches, open_stream
from tasks.compute.cluster import worker_group
from tasks.compute.job import CURVES_FILE, STREAM_FILE, WEIGHTS_FILE, Job
from tasks.compute.loop import Checkpoints, Run, train
from tasks.compute.meter import Meter
from tasks.compute.spread import Place
from tasks.progress import Progress
from tasks.report import StepError


def work(config: dict[str, Any]) -> dict[str, Any]:
    """Train as one of the workers: what was `measured`, or an `error` that would only come again."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    job = Job(**config)
    with ends_when_stalled(job.stall_seconds) as beat, worker_group(job.device) as (rank, workers):
        return work_at(Place(rank, workers, job.device, job.expert_workers), job, beat)


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
    return {"measured": meter.measured(tokens=run.tokens, workers=place.workers)}


def open_run(artifacts: Path, place: Place) -> Run:
    """The run that a workspace's blueprint, base and token stream describe, before its first step."""
    blueprint = Blueprint.read(artifacts / "blueprint")
    length, training = blueprint.shape.sequence_length, blueprint.training
    stream = open_stream(artifacts / "pack" / STREAM_FILE)
    run = Run(blueprint, Batches(stream, length, training.batch_tokens // length, training.seed), place)
    weights = base_weights(artifacts, blueprint.shape)
    if weights is not None:
        run.begin_from(weights)
    return run


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
