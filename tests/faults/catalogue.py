"""The faults: what is injected where. One seed names one campaign, which is the same list every time."""

import random
from dataclasses import dataclass
from typing import Literal

from tasks.__main__ import STEPS

Kind = Literal["kill", "disk", "s3", "damage", "clock", "together"]
CHEAP_STEPS = [step for step in STEPS if step != "train"]


@dataclass(frozen=True)
class Fault:
    """One injected failure; `how` and `target` choose it, the seed chooses the moment or the byte."""

    kind: Kind
    target: str
    how: str
    seed: int

    @property
    def label(self) -> str:
        """Name for people."""
        return f"{self.kind}-{self.target}-{self.how}-{self.seed % 10_000}".replace("/", "-")

    @property
    def random(self) -> random.Random:
        """The fault's own random numbers."""
        return random.Random(f"{self.kind} {self.target} {self.how} {self.seed}")


# (kind, target, how, how many). Kills: `write` at a change of a file, `process` and `group` at a moment.
_Plan = list[tuple[Kind, str, str, int]]
_KILLS: _Plan = [
    *[("kill", step, "write", 2) for step in CHEAP_STEPS],
    *[("kill", step, how, 1) for step in CHEAP_STEPS for how in ("process", "group")],
    *[("kill", "train", how, 1) for how in ("write", "process", "group", "worker")],
    ("kill", "publish", "write", 6),
    ("kill", "publish", "process", 2),
    ("kill", "publish", "group", 2),
    *[("kill", step, "flow", 1) for step in ("ingest", "validate", "gate", "publish")],
]
_DISK: _Plan = [
    *[("disk", step, "artifacts", 1) for step in ("ingest", "tokenizer", "pack", "export")],
    *[("disk", step, "dvc-cache", 1) for step in ("clean", "dedup")],
    *[("disk", step, "file-size", 1) for step in ("ingest", "clean", "pack", "evaluate")],
    ("disk", "train", "checkpoints", 1),
    ("disk", "publish", "registry", 2),
    ("disk", "publish", "remote", 1),
]
_S3: _Plan = [
    (("s3", target, how, 1))
    for target in ("publish", "push", "pull", "dvc-pull")
    for how in ("500", "hang", "lost", "cut")
] + [("s3", "release", how, 2) for how in ("500", "lost")]
_DAMAGE: _Plan = [
    *[("damage", f"dvc-cache/{step}", how, 1) for step in ("ingest", "privacy", "export") for how in ("flip", "cut")],
    ("damage", "dvc-cache/folder", "flip", 1),
    *[("damage", f"artifacts/{step}", how, 1) for step in ("clean", "pack", "export") for how in ("flip", "cut")],
    *[
        ("damage", cache, how, 1)
        for cache in ("cache/shards/ingest", "cache/shards/dedup", "cache/sources", "cache/gate")
        for how in ("flip", "cut")
    ],
    *[("damage", place, how, 2) for place in ("blob", "log") for how in ("flip", "cut")],
    ("damage", "rwlock", "cut", 1),
    *[("damage", "seen", how, 1) for how in ("flip", "cut")],
    ("damage", "checkpoint/newest", "flip", 1),
    ("damage", "checkpoint/newest", "cut", 1),
    ("damage", "checkpoint/all", "flip", 1),
]
_CLOCK: _Plan = [
    *[("clock", place, how, 1) for place in ("caches", "locks", "artifacts") for how in ("past", "future")],
    ("clock", "checkpoints", "future", 1),
    ("clock", "log", "future", 2),
]
_TOGETHER: _Plan = [
    ("together", "run", "run", 1),
    ("together", "run", "repro", 1),
    ("together", "repro", "repro", 1),
    ("together", "clean", "step", 1),
    ("together", "pack", "step", 1),
    ("together", "publish", "publish", 2),
    ("together", "release", "release", 1),
]
_SAMPLE: _Plan = [
    ("kill", "ingest", "write", 1),
    ("kill", "clean", "write", 1),
    ("kill", "dedup", "process", 1),
    ("disk", "clean", "file-size", 1),
    ("s3", "release", "lost", 1),
    ("damage", "dvc-cache/privacy", "flip", 1),
    ("damage", "cache/shards/ingest", "flip", 1),
    ("damage", "cache/sources", "flip", 1),
    ("clock", "locks", "future", 1),
    ("together", "clean", "step", 1),
]


def campaign(seed: int) -> list[Fault]:
    """All faults."""
    return _faults([*_KILLS, *_DISK, *_S3, *_DAMAGE, *_CLOCK, *_TOGETHER], seed)


def sample(seed: int) -> list[Fault]:
    """Ten quick ones, of every kind, that work anywhere and need no training."""
    return _faults(_SAMPLE, seed)


def _faults(plan: _Plan, seed: int) -> list[Fault]:
    return [Fault(kind, target, how, seed * 100 + n) for kind, target, how, count in plan for n in range(count)]
