"""Blueprint and batches -> a trained model: the optimizer steps of one worker, the same for any number of them."""

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist

from infra.disk import full_disk
from infra.storage import Store
from tasks.algorithm.blueprint import Blueprint
from tasks.algorithm.model import Model, initial_weights
from tasks.algorithm.optimizer import Optimizer, clip_gradients, schedule
from tasks.algorithm.products import widest_products
from tasks.compute import checkpoint
from tasks.compute.batches import Batches, Shard
from tasks.compute.feed import Feed
from tasks.compute.meter import Meter, total
from tasks.compute.spread import Place, Replicated, Spread
from tasks.params import Train
from tasks.report import StepError

logger = logging.getLogger(__name__)

# L MoE layers, E experts.
_LOADS_RECORDED = 100


@dataclass(frozen=True)
class Checkpoints:
    """Where, under which name and how often a run is saved."""

    store: Store
    run: str
    every_steps: int


@dataclass
class Run:
    """A training run between two optimizer steps."""

    blueprint: Blueprint
    batches: Batches
    place: Place = field(default_factory=Place)
    recompute: bool = False

    def __post_init__(self) -> None:
        training = self.blueprint.training
        self.step = 0
        # One line a step, the same for any number of workers.
        self.curve: list[dict[str, Any]] = []
        self.model = Model(self.blueprint.shape)
        self._spread = _spread(self.model, training, self.place, losses=2)  # nats, and those of multi-token prediction
        self._spread.fill(initial_weights(self.blueprint.shape, self._spread.shapes, training.seed))
        torch.manual_seed(training.seed)
        spread, n_heads = self._spread, self.blueprint.shape.n_heads
        self._optimizer = Optimizer(spread.weights, training, spread.directions, spread.shapes, n_heads=n_heads)
        self._load_LE = torch.zeros_like(self.model.expert_counts_LE)
        steps, masking = self.blueprint.steps, training.document_masking
        self._feed = Feed(self._shards, device=self.place.device, steps=steps, document_masking=masking)

    @property
    def tokens(self) -> int:
        """Tokens trained so far."""
        return self.step * self.blueprint.training.batch_tokens

    def advance(self) -> None:
        """One optimizer step.

        Raises:
            StepError: the loss is no number any more.
        """
        training = self.blueprint.training
        loss, further = self._gradients()
        norm = clip_gradients(self._spread.weights.values(), training.gradient_clip, self._spread.norm)
        scale = schedule(self.step, self.blueprint.steps, training)
        self._optimizer.step(scale)
        counts_LE = total(self.model.take_expert_counts())
        self.model.balance(counts_LE, training.balance_rate)
        self._load_LE += counts_LE
        self.step += 1
        line: dict[str, Any] = {
            "step": self.step,
            "tokens": self.tokens,
            "loss": loss,
            "learning_rate": scale * training.learning_rate,
            "gradient_norm": norm,
        }
        if self.model.mtp:
            line["mtp_loss"] = further
        if self._records_load():
            line |= self._take_load()
        self.curve.append(line)

    def _gradients(self) -> tuple[float, float]:
        """Mean gradient of the batch, in `grad` of the spread's weights.

        Returns:
            Its mean loss in nats a token, and that of tokens further ahead.
        """
        training = self.blueprint.training
        for windows in self._feed.take(self.step):
            sums = self._spread.start()
            objective, nats, further = self.model.objective(
                windows.tokens_BS, windows.targets_BS, windows.starts_BS, training, recompute=self.recompute
            )
            objective.backward()
            sums += torch.stack((nats, further))
            self._spread.finish()
        loss_now, further_now = self._spread.mean(training.batch_tokens).tolist()
        if not math.isfinite(loss_now):
            raise StepError(
                f"the loss of step {self.step + 1} is {loss_now}: training diverged; lower train.learning_rate and "
                "train.adamw_learning_rate, or train.gradient_clip, in params.yaml"
            )
        return loss_now, further_now

    def _shards(self, step: int) -> list[Shard]:
        place = self.place
        return self.batches.shards(step, self.blueprint.training.micro_shards, rank=place.rank, workers=place.workers)

    @property
    def waited_seconds(self) -> float:
        """How long steps have waited for their tokens so far."""
        return self._feed.waited_seconds

    def _records_load(self) -> bool:
        steps = self.blueprint.steps
        return self.step % max(1, steps // _LOADS_RECORDED) == 0 or self.step == steps

    def _take_load(self) -> dict[str, Any]:
        """How each layer's tokens went to experts since the last time; counting starts anew.

        `expert_load`: share of each expert. `expert_entropy`: of these shares, over that of an even load: 1 is even.
        `dead_experts`: how many saw no token.
        """
        counts_LE = self._load_LE.double()
        shares_LE = counts_LE / counts_LE.sum(dim=1, keepdim=True).clamp(min=1)
        entropies_L = torch.special.entr(shares_LE).sum(dim=1) / math.log(max(2, shares_LE.shape[1]))
        self._load_LE.zero_()
        return {
            "expert_load": [[round(share, 6) for share in shares_E] for shares_E in shares_LE.tolist()],
            "expert_entropy": [round(entropy, 6) for entropy in entropies_L.tolist()],
            "dead_experts": (counts_LE == 0).sum(dim=1).tolist(),
        }

    def weights(self) -> dict[str, torch.Tensor]:
        """Whole weights and buffers, on rank 0; all workers call it together."""
        return self._spread.state()

    def begin_from(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take these whole weights and buffers instead of random ones.

        Raises:
            ValueError: not all weights are there.
        """
        if absent := self._spread.shapes.keys() - weights.keys():
            raise ValueError(f"weights to begin from lack {sorted(absent)}")
        self._spread.fill(weights.items())

    def state(self, meter: Meter) -> dict[str, Any]:
        """All that `resume` needs, whole on rank 0 whatever the spread: another number of workers may go on from it.

        All workers call it together.
        """
        return {
            "weights": self._spread.state(),
            "optimizer": {kind: self._spread.join(parts) for kind, parts in self._optimizer.state_dict().items()},
            "load": self._load_LE,
            "random": checkpoint.random_state(),
            "curve": self.curve,
            "spent": meter.spent(),
        }

    def resume(self, step: int, state: dict[str, Any]) -> None:
        """Go on after `step`, as if it had never stopped."""
        self.step, self.curve = step, state["curve"]
        self._spread.fill(state["weights"].items())
        self._optimizer.load_state_dict({kind: self._spread.part(whole) for kind, whole in state["optimizer"].items()})
        self._load_LE.copy_(state["load"])
        checkpoint.set_random_state(state["random"])


def train(run: Run, checkpoints: Checkpoints, watch: Callable[[Run, Meter], None]) -> Meter:
    """Bring a run from its newest checkpoint, if there is one, to its last optimizer step.

    Args:
        run: a fresh run; all workers call this together.
        checkpoints: rank 0 writes them, all read them.
        watch: called after each step.
    """
    with own_arithmetic(run.place.device):
        # To main memory: a device may have no room for all workers' parts.
        found = checkpoint.load_newest(checkpoints.store, checkpoints.run)
        _agree(found[0] if found else 0, run.place)
        if found:
            run.resume(*found)
            if run.place.rank == 0:
                logger.info("continuing after step %d, from %s", run.step, checkpoints.store.where(checkpoints.run))
        spent = found[1]["spent"] if found else None
        meter = Meter(
            device=run.place.device,
            flops_per_token=run.blueprint.flops_per_token,
            before=spent,
            tokens_before=run.tokens,
        )
        while run.step < run.blueprint.steps:
            waited = run.waited_seconds
            run.advance()
            meter.add(run.blueprint.training.batch_tokens, waited=run.waited_seconds - waited)
            watch(run, meter)
            is_due = run.step % checkpoints.every_steps == 0 and run.step < run.blueprint.steps
            if is_due:
                _save(run, meter, checkpoints)
    return meter


def _spread(model: Model, training: Train, place: Place, *, losses: int) -> Spread:
    if training.parallel == "shard" and place.workers > 1:
        from tasks.compute.shard import Sharded  # torch's DTensor takes a second to import

        return Sharded(model, place, losses=losses)
    return Replicated(model, place, losses=losses)


def _save(run: Run, meter: Meter, checkpoints: Checkpoints) -> None:
    """Write a checkpoint; a full disk costs what it would save after an interruption, not the run."""
    state = run.state(meter)
    if run.place.rank:
        return
    try:
        checkpoint.save(checkpoints.store, checkpoints.run, run.step, state)
    except Exception as error:
        said = full_disk(error)
        if not said:
            raise
        logger.warning("no checkpoint after step %d, training goes on: %s", run.step, said)


def _agree(step: int, place: Place) -> None:
    """See that all workers found the same checkpoint: a shared place may show it to some of them later.

    Raises:
        RuntimeError: they did not; starting again may help.
    """
    if place.workers == 1:
        return
    steps = [torch.zeros(1, dtype=torch.int64, device=place.device) for _ in range(place.workers)]
    dist.all_gather(steps, torch.tensor([step], device=place.device))
    found = sorted({int(each) for each in steps})
    if len(found) > 1:
        raise RuntimeError(
            f"workers found checkpoints of different steps: {found}; ABCD_CHECKPOINTS must be a place that all share"
        )


@contextmanager
def own_arithmetic(device: str) -> Iterator[None]:
    """How training computes on a CPU: the fastest products, and one torch thread.

    More threads do not pay in a small model, and their number changes the bits.
    """
    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        with widest_products():
            yield
    finally:
        torch.set_num_threads(before)
