"""Budget, machine and corpus -> which model to train on how many tokens, what it will reach, take and cost.

Every shape of the family is held against the budget: how many tokens it can read in the time, what the scaling law says
that it then reaches. The best that fits into memory is the answer. Same machine record, same answer.
"""

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field

from tasks.algorithm.blueprint import Blueprint
from tasks.algorithm.family import WIDE_FROM, family
from tasks.algorithm.machines import Machine, PlanError
from tasks.algorithm.scaling_law import Law
from tasks.algorithm.shape import Shape
from tasks.params import Params, parse
from tasks.presets import PRESETS

FINE_WIDTHS = (48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448)
WIDE_WIDTHS = (512, 640, 768, 1024, 1280, 1536, 2048, 2560, 3072, 4096)
FINE_EXPERTS, WIDE_EXPERTS = (0, 8, 16, 32, 64), (0, 32, 64, 128)
Kind = Literal["dense", "mixture of experts"]
# Fewer optimizer steps say nothing: warm-up and decay have no room.
MIN_STEPS = 50
# Share of the memory that a run may fill: the system and the page cache need some.
_MEMORY_SHARE = 0.8
# From preset nano's, a batch grows as the square root of the tokens (Zhang 2024, https://arxiv.org/abs/2410.21676).
_BATCH_TOKENS, _BATCH_FOR_TOKENS = 4096, 1_000_000
_MICRO_TOKENS = {"fine": (1024,), "wide": (32_768, 16_384, 8192, 4096, 2048)}
_LADDER = (0.25, 0.5, 1.0, 2.0, 4.0)
# A vocabulary twice as large makes tokens so much longer (measured: docs/plan.md).
_DOUBLING = 1.09


class Corpus(BaseModel):
    """What there is to read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: int = Field(description="different ones, to train on")
    bytes_per_token: float = Field(gt=0, description="with a vocabulary of `vocab_size`")
    vocab_size: int = Field(ge=257)

    def bytes_a_token(self, vocab_size: int) -> float:
        """Mean length of a token with another vocabulary."""
        return float(self.bytes_per_token * _DOUBLING ** math.log2(vocab_size / self.vocab_size))

    def tokens(self, vocab_size: int) -> int:
        """Different tokens with a vocabulary."""
        return int(self.bytes / self.bytes_a_token(vocab_size))


class Option(BaseModel):
    """A model and its training, and what is foretold of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    preset: str
    shape: dict[str, Any] = Field(description="all of section `blueprint` but the preset")
    vocab_size: int
    tokens: int = Field(description="to train on, repeats counted")
    batch_tokens: int
    micro_shards: int
    steps: int
    epochs: float = Field(description="times that it reads the corpus")
    total_parameters: int
    active_parameters: int
    training_flops: int
    bits_per_byte: float
    nats_per_token: float
    seconds: float = Field(description="of training, without the start of the workers")
    memory_bytes: int = Field(description="at the fullest moment")
    money: float | None = Field(default=None, description="at the price given")
    mfu: float = Field(description="operations that count over the workers' best")
    beyond: float = Field(description="times further out than the runs of the law's fit, in parameters or tokens")

    def assignments(self) -> list[tuple[str, Any]]:
        """What `params.yaml` must say, as dotted keys."""
        training = {"tokens": self.tokens, "batch_tokens": self.batch_tokens, "micro_shards": self.micro_shards}
        sections = {"blueprint": self.shape, "tokenizer": {"vocab_size": self.vocab_size}, "train": training}
        # Null where the preset says the same: what the file does not have stays out of it.
        said = [
            (f"{section}.{key}", None if PRESETS[self.preset][section].get(key) == value else value)
            for section, values in sections.items()
            for key, value in values.items()
            if section != "blueprint" or key in PRESETS[self.preset][section]
        ]
        return [("blueprint.preset", self.preset), *said]


class Rung(BaseModel):
    """What another budget would buy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    times: float = Field(description="of the budget asked for")
    budget_seconds: float
    option: Option | None = Field(description="null: too little for any model")


class Plan(BaseModel):
    """The answer, what it was compared with, and what all of it rests on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget_seconds: float
    price_per_hour: float | None
    machine: Machine
    corpus: Corpus
    choice: Option
    others: tuple[Option, ...] = Field(description="best of the other kinds, then the preset that params.yaml names")
    ladder: tuple[Rung, ...]
    curves: dict[Kind, tuple[tuple[float, float], ...]] = Field(description="budget and bits per byte of the best")
    law: Law


class _Candidate(NamedTuple):
    """A shape and how it is trained, without the number of tokens."""

    values: dict[str, Any]
    preset: str
    kind: Kind
    blueprint: Blueprint
    seconds_per_step: float
    memory_bytes: int

    def tokens_in(self, budget_seconds: float) -> int:
        """Tokens that a time is enough for."""
        return int(budget_seconds / self.seconds_per_step * self.blueprint.training.batch_tokens)


class Planner:
    """All that fits on a machine and can learn from a corpus."""

    def __init__(
        self, machine: Machine, corpus: Corpus, *, price: float | None = None, only: Kind | None = None
    ) -> None:
        if corpus.bytes <= 0:
            raise PlanError("the corpus has no tokens; add text to discover.sources and run `abcd run`, or --corpus-mb")
        self.machine, self.corpus, self.law, self._price, self._only = machine, corpus, Law.read(), price, only

    @cached_property
    def _candidates(self) -> list[_Candidate]:
        found = [made for values, preset, kind in self._shapes() for made in self._trained(values, preset, kind)]
        most = _MEMORY_SHARE * self.machine.memory_bytes
        fitting = [each for each in found if each.memory_bytes <= most]
        if not fitting:
            if not found:
                raise PlanError(
                    f"the corpus of {self.corpus.bytes:,} bytes has too few tokens for one batch of {_BATCH_TOKENS:,}; "
                    "add text to discover.sources"
                )
            least = min(each.memory_bytes for each in found)
            raise PlanError(
                f"no model fits: the smallest needs {least / 2**30:.1f} GiB, {self.machine.name} has "
                f"{self.machine.memory_bytes / 2**30:.1f} GiB, of which {_MEMORY_SHARE:.0%} may be used; "
                "give another --machine, or fewer workers (ABCD_WORKERS)"
            )
        return fitting

    def _shapes(self) -> Iterator[tuple[dict[str, Any], str, Kind]]:
        # What is published of a GPU says nothing of shapes too small to fill it.
        fine = () if self.machine.mfu is not None else FINE_WIDTHS
        for width in (*fine, *WIDE_WIDTHS):
            is_wide = width >= WIDE_FROM
            layers = 8 + width // 128 if is_wide else round(2 + width / 64)
            preset = ("medium" if width >= 2048 else "small") if is_wide else "nano"
            for experts in WIDE_EXPERTS if is_wide else FINE_EXPERTS:
                values = family(width=width, n_layers=layers, n_experts=experts, top_k=6 if is_wide else 2)
                yield values, preset, "mixture of experts" if experts else "dense"

    def _trained(self, values: dict[str, Any], preset: str, kind: Any) -> Iterator[_Candidate]:
        """The shape with every batch and micro-shard that it may be trained with."""
        unique = self.corpus.tokens(PRESETS[preset]["tokenizer"]["vocab_size"])
        for micro in _MICRO_TOKENS["fine" if preset == "nano" else "wide"]:
            for power in range(12):
                batch = _BATCH_TOKENS << power
                shards = batch // micro
                if batch < unique and 1 <= shards <= 1024:
                    given = {"batch_tokens": batch, "micro_shards": shards, "tokens": batch}
                    blueprint = Blueprint.make(self._params(preset, values, given))
                    seconds, memory = self.machine.seconds_per_step(blueprint), self.machine.memory_needed(blueprint)
                    yield _Candidate(values, preset, kind, blueprint, seconds, memory)

    @staticmethod
    def _params(preset: str, values: dict[str, Any], training: dict[str, Any]) -> Params:
        said = {"blueprint": {"preset": preset, **values}, "discover": {"sources": ["planned"]}, "train": training}
        return parse(said, origin="the plan")

    def best(self, budget_seconds: float, *, kind: Kind | None = None) -> Option | None:
        """What reaches the fewest bits per byte in a time, of one kind if asked; null if it is too short for any.

        Raises:
            PlanError: no model fits into the memory.
        """
        scored = (
            (self._score(candidate, budget_seconds), number)
            for number, candidate in enumerate(self._candidates)
            if kind in (None, candidate.kind)
        )
        found = min(((score, number) for score, number in scored if score), default=None)
        return self._option(self._candidates[found[1]], budget_seconds) if found else None

    def of(self, params: Params, budget_seconds: float) -> Option | None:
        """What a shape that is given reaches in a time; null where nothing is known of its speed or nothing trains."""
        if self.machine.mfu is not None and params.blueprint.width < WIDE_FROM:
            return None
        values = params.blueprint.model_dump(exclude={"preset"})
        blueprint = Blueprint.make(params)
        kind: Kind = "mixture of experts" if blueprint.shape.n_moe_layers else "dense"
        seconds, memory = self.machine.seconds_per_step(blueprint), self.machine.memory_needed(blueprint)
        made = _Candidate(values, params.blueprint.preset, kind, blueprint, seconds, memory)
        is_enough = made.tokens_in(budget_seconds) >= blueprint.training.batch_tokens
        return self._option(made, budget_seconds) if is_enough else None

    def least_seconds(self) -> float:
        """The shortest budget that trains something."""
        return min(MIN_STEPS * each.seconds_per_step for each in self._candidates)

    def _score(self, candidate: _Candidate, budget_seconds: float) -> tuple[float, int, int] | None:
        """Fewest bits, then the smallest model, then the largest batch; null if the budget is too small for it."""
        tokens = candidate.tokens_in(budget_seconds)
        batch = candidate.blueprint.training.batch_tokens
        if tokens < MIN_STEPS * batch or batch > batch_for(tokens):
            return None
        bits = round(self._bits(candidate.blueprint.shape, tokens), 9)
        return bits, candidate.blueprint.total_parameters, -batch

    def _bits(self, shape: Shape, tokens: int) -> float:
        return self.law.bits_per_byte(shape, tokens=tokens, unique=self.corpus.tokens(shape.vocab_size))

    def _option(self, candidate: _Candidate, budget_seconds: float) -> Option:
        blueprint, tokens = candidate.blueprint, candidate.tokens_in(budget_seconds)
        shape, training = blueprint.shape, blueprint.training
        bits, steps = self._bits(shape, tokens), tokens // training.batch_tokens
        seconds = steps * candidate.seconds_per_step
        flops, best = (
            blueprint.flops_per_token * steps * training.batch_tokens,
            self.machine.peak_flops * self.machine.workers,
        )
        return Option(
            kind=candidate.kind, preset=candidate.preset,
            shape=shape.model_dump(exclude={"vocab_size"}), vocab_size=shape.vocab_size,
            tokens=tokens, batch_tokens=training.batch_tokens, micro_shards=training.micro_shards, steps=steps,
            epochs=tokens / self.corpus.tokens(shape.vocab_size), total_parameters=blueprint.total_parameters,
            active_parameters=blueprint.active_parameters, training_flops=flops, bits_per_byte=bits,
            nats_per_token=bits * self.corpus.bytes_a_token(shape.vocab_size) * math.log(2), seconds=seconds,
            memory_bytes=candidate.memory_bytes, money=seconds / 3600 * self._price if self._price else None,
            mfu=flops / seconds / best, beyond=self.law.beyond(shape, tokens),
        )  # fmt: skip

    def plan(self, budget_seconds: float, *, params: Params | None = None) -> Plan:
        """The best for a budget, what other kinds reach, and what more or less would buy.

        Raises:
            PlanError: the budget is too small, or no model fits into the memory.
        """
        choice = self.best(budget_seconds, kind=self._only)
        if choice is None:
            raise PlanError(
                f"{budget_seconds:,.0f} s on {self.machine.name} are too short for {MIN_STEPS} optimizer steps of the "
                f"smallest model; give {math.ceil(self.least_seconds() / 60)} minutes at least"
            )
        kinds = [self.best(budget_seconds, kind=kind) for kind in get_args(Kind) if kind != choice.kind]
        given = [self.of(params, budget_seconds)] if params else []
        ladder = tuple(
            Rung(
                times=times,
                budget_seconds=times * budget_seconds,
                option=self.best(times * budget_seconds, kind=self._only),
            )
            for times in _LADDER
        )
        return Plan(
            budget_seconds=budget_seconds, price_per_hour=self._price, machine=self.machine, corpus=self.corpus,
            choice=choice, others=tuple(option for option in [*kinds, *given] if option), ladder=ladder,
            curves={kind: self._curve(kind, budget_seconds) for kind in get_args(Kind)}, law=self.law,
        )  # fmt: skip

    def _curve(self, kind: Kind, budget_seconds: float) -> tuple[tuple[float, float], ...]:
        budgets = [2 ** (power / 2) * budget_seconds for power in range(-6, 7)]
        found = [(budget, self.best(budget, kind=kind)) for budget in budgets]
        return tuple((budget, option.bits_per_byte) for budget, option in found if option)


def batch_for(tokens: int) -> int:
    """Largest batch for a number of tokens: the next power of two above the square root's rule."""
    return int(_BATCH_TOKENS * 2 ** max(0, round(math.log2(max(tokens, 1) / _BATCH_FOR_TOKENS) / 2)))
