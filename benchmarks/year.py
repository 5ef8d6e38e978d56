"""A year of nights on a simulated clock: `python -m benchmarks.year --json FILE [--nights N] [--seed N]`.

Real are discover, the comparison that ends a night as "nothing new", the late start, the gate with its bootstrap, the
records, the signed log, the moves of the champion and `abcd gc`; training and evaluation are the model of `nights.py`,
so that what is true of each release is known and can be held against what was decided. A night takes half a CPU second.
"""

import argparse
import hashlib
import io
import json
import logging
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from benchmarks.nights import Night, calendar, change_sources, quality_after, score
from benchmarks.retrain import ROOT
from flows.night import describe_lateness
from infra.outputs import object_name
from infra.releases import CANDIDATE, CHAMPION, Registry
from infra.settings import Settings
from tasks import params as params_file
from tasks.__main__ import STEPS
from tasks.big_data import discover
from tasks.distribution import gate
from tasks.distribution.champion import remembered_bits
from tasks.distribution.news import news
from tasks.distribution.promotion import promote_as_judged
from tasks.distribution.publish import store_release
from tasks.distribution.registry import advance_alias, put_bytes, signing_key
from tasks.distribution.unused import unused
from tasks.distribution.verdict import Verdict
from tasks.report import Report, StepError, read_json, sha256_of, step_output, write_json
from tasks.sealed import write_sealed

NAME = "company"
FIRST_NIGHT = datetime(2027, 1, 1, 2, tzinfo=UTC)
GC_EVERY = 7
_HELD_OUT_OF_TEN = 4  # of the documents: small worlds still fill the gate's minimum
_RESAMPLES = 1000


@dataclass
class Year:
    """The workspace, and what is true of each release."""

    settings: Settings
    sources: Path
    generator: np.random.Generator
    quality: dict[int, float] = field(default_factory=dict)
    model: dict[int, str] = field(default_factory=dict)
    nights: list[dict[str, Any]] = field(default_factory=list)
    disk: list[dict[str, int]] = field(default_factory=list)

    def live(self, night: Night) -> None:
        """One night, as the flow `nightly` does it."""
        before = self.champion()
        row: dict[str, Any] = {"night": night.number, "event": night.event, "before": before}
        row["outcome"], row["why"] = self._night(night, row)
        self.nights.append(row | {"champion": self.champion()})
        if night.number % GC_EVERY == GC_EVERY - 1:
            self.collect()

    def champion(self) -> int | None:
        """Version of the champion now."""
        return Registry.of(self.settings).log(NAME).aliases.get(CHAMPION)

    def _night(self, night: Night, row: dict[str, Any]) -> tuple[str, str]:
        due = FIRST_NIGHT + timedelta(days=night.number)
        start = due + timedelta(hours=7 if night.event == "late" else 0.1)
        late = describe_lateness(due, at_most=timedelta(hours=3), now=start)
        if late:
            return "skipped", late
        if night.event == "gone":
            away = self.sources.rename(self.sources.with_name("away"))
            try:
                self._discover()
            except StepError as error:
                return "failed", str(error)
            finally:
                away.rename(self.sources)
        change_sources(self.sources, night, self.generator)
        if night.event == "code":
            with (self.settings.workspace / "tasks" / "compute" / "loop.py").open("a") as file:
                file.write(f"# night {night.number}\n")
        self._discover()
        found = news(self.settings)
        if found.made_before:
            return "nothing new", found.made_before
        return self._train(night, row)

    def _discover(self) -> None:
        params = params_file.load(self.settings.workspace / params_file.PARAMS_FILE)
        with step_output(self.settings.artifacts, "discover") as out:
            discover.run(params, self.settings.model_copy(update={"discover": True}), out).write(out)

    def _train(self, night: Night, row: dict[str, Any]) -> tuple[str, str]:
        """What train, evaluate, gate and publish do."""
        artifacts = self.settings.artifacts
        base = read_json(artifacts / "discover" / "base.json").get("ref")
        start = self.quality[int(base.partition("@v")[2])] if base else None
        quality = quality_after(night.event, start, self.generator)
        self._write_outputs(night, quality)
        params = params_file.load(self.settings.workspace / params_file.PARAMS_FILE)
        with step_output(artifacts, "gate") as out, patch.object(gate, "draw_groups"):  # a third of the year's time
            report = gate.run(params, self.settings, out)
            report.write(out)
        verdict = Verdict.model_validate(report.facts)
        registry, key = Registry.of(self.settings), signing_key(self.settings.keys)
        if night.event == "killed":
            put_bytes(registry, f"orphan of night {night.number}".encode())
            return "killed", "died after it had stored blobs and before it named them"
        release, _ = store_release(self.settings, registry, key, NAME, verdict)
        self.quality[release.version], self.model[release.version] = quality, f"night {night.number}"
        row["upper_bound"] = verdict.interval[1] if verdict.interval else None
        row["truth"] = None if row["before"] is None else quality - self.quality[row["before"]]
        advance_alias(registry, key, NAME, CANDIDATE, release.version)
        note = promote_as_judged(registry, key, NAME, release.version, verdict)
        outcome = "promoted" if verdict.promote and not note else "refused"
        return outcome, "; ".join([*verdict.reasons, *filter(None, [note])])

    def _write_outputs(self, night: Night, quality: float) -> None:
        """What the steps would leave, as small as can be; the champion's bits go where the gate remembers them."""
        artifacts = self.settings.artifacts
        uris = [json.loads(line)["uri"] for line in (artifacts / "discover" / "sources.jsonl").read_text().splitlines()]
        held_out = [uri for uri in uris if int(md5_of(uri.encode())[:8], 16) % 10 < _HELD_OUT_OF_TEN]
        for step in STEPS:
            if step not in ("discover", "gate"):
                (artifacts / step).mkdir(parents=True, exist_ok=True)
                facts: dict[str, Any] = {}
                if step == "evaluate":
                    facts = {"bits_per_byte": 2.2 + quality, "byte_3gram": 3.0}
                if step == "pack":
                    facts = {"train": {"distinct_tokens": 10_000, "distinct_bytes": 30_000}}
                Report(step=step, facts=facts).write(artifacts / step)
        model = f"night {night.number}"
        score(held_out, model, quality).write_parquet(artifacts / "evaluate" / "documents.parquet")
        texts = pl.DataFrame({"id": held_out, "text": held_out})
        texts.write_parquet(artifacts / "pack" / "held_out.parquet")
        write_json(artifacts / "blueprint" / "blueprint.json", {"total_parameters": 10, "active_parameters": 5})
        (artifacts / "tokenizer" / "tokenizer.json").write_text("{}")
        for folder in ("train", "export"):
            (artifacts / folder / "model.safetensors").write_bytes(model.encode() * 1000)
        for name, step in (("blueprint.json", "blueprint"), ("tokenizer.json", "tokenizer")):
            (artifacts / "export" / name).write_bytes((artifacts / step / name).read_bytes())
        for name in ("profile.json", "known.npy", "trained.npy"):
            (artifacts / "drift" / name).write_text(name)
        self._remember_champion(held_out)
        self._lock()

    def _remember_champion(self, held_out: list[str]) -> None:
        pinned = read_json(self.settings.artifacts / "discover" / "champion.json")
        if not pinned:
            return
        path = remembered_bits(pinned, self.settings, self.settings.artifacts / "pack" / "held_out.parquet")
        table, version = io.BytesIO(), pinned["version"]
        score(held_out, self.model[version], self.quality[version]).select("id", "bits").write_parquet(table)
        write_sealed(path, table.getvalue())

    def _lock(self) -> None:
        """`dvc.lock` and DVC's cache, as a `dvc repro` of these outputs would leave them."""
        workspace = self.settings.workspace
        stages = YAML(typ="safe").load((workspace / "dvc.yaml").read_text())["stages"]
        lock: dict[str, Any] = {"schema": "2.0", "stages": {}}
        for step, stage in stages.items():
            deps = [dep for dep in stage.get("deps", ()) if not dep.startswith("artifacts/")]
            content = b"".join(
                sha256_of(path).encode() for path in sorted((workspace / "artifacts" / step).rglob("*.*"))
            )
            outs = [{"path": f"artifacts/{step}", "hash": "md5", "md5": self._keep(content)}]
            files = [{"path": dep, "hash": "md5", "md5": md5_of((workspace / dep).read_bytes())} for dep in deps]
            lock["stages"][step] = {"cmd": stage["cmd"], "deps": files, "outs": outs}
        (workspace / "dvc.lock").write_text(json.dumps(lock))  # which is YAML, and written a hundred times faster

    def _keep(self, content: bytes) -> str:
        digest = md5_of(content)
        path = self.settings.dvc_cache / object_name(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return digest

    def collect(self) -> None:
        """`abcd gc`, a simulated while later; how much was there before and after."""
        before = size_of(self.settings.state)
        for room in unused(self.settings, remote=False, now=time.time() + 2 * 86_400):
            room.remove()
        releases = len(Registry.of(self.settings).log(NAME).releases)
        self.disk.append({"before": before, "after": size_of(self.settings.state), "releases": releases})


def md5_of(content: bytes) -> str:
    """As DVC counts it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def open_year(folder: Path, *, seed: int, project: Path = ROOT) -> Year:
    """A clone of what is committed, with a source of its own, that asks for the champion as its base."""
    workspace, sources = folder / "workspace", folder / "sources"
    subprocess.run(["git", "clone", "-q", str(project), str(workspace)], check=True)
    sources.mkdir()
    said = {"discover.sources": [str(sources)], "discover.name": NAME, "discover.base": "champion",
            "gate.resamples": _RESAMPLES}  # fmt: skip
    params_file.override(workspace / params_file.PARAMS_FILE, said.items())
    return Year(Settings(workspace=workspace), sources, np.random.default_rng(seed))


def judge(year: Year, margin: float) -> dict[str, Any]:
    """Figures of a year.

    Raises:
        RuntimeError: a champion moved without a promotion, was promoted over the margin, or a night has no reason.
    """
    for row in year.nights:
        if (row["before"] != row["champion"]) != (row["outcome"] == "promoted") or not row["why"]:
            raise RuntimeError(f"not explained: {row}")
        if row["outcome"] == "promoted" and row["before"] and row["upper_bound"] > margin:
            raise RuntimeError(f"promoted over the margin: {row}")
    promoted = [row for row in year.nights if row["outcome"] == "promoted" and row["before"]]
    refused = [row for row in year.nights if row["outcome"] == "refused" and row["truth"] is not None]
    reigns = [year.quality[row["champion"]] for row in year.nights if row["champion"]]
    return {
        "nights": len(year.nights),
        "events": dict(Counter(row["event"] for row in year.nights)),
        "outcomes": dict(Counter(row["outcome"] for row in year.nights)),
        "champions": len(promoted) + 1,
        "promoted_though_worse_than_margin": sum(row["truth"] > margin for row in promoted),
        "promoted_though_worse": sum(row["truth"] > 0 for row in promoted),
        "refused_though_better": sum(row["truth"] < 0 for row in refused),
        "quality": {"first": reigns[0], "last": reigns[-1], "best": min(reigns)},
        "largest_rise_over_best": max(now - min(reigns[: n + 1]) for n, now in enumerate(reigns)),
        "disk": year.disk[:1] + year.disk[-1:],
    }


def show(nights: Sequence[Mapping[str, Any]]) -> Table:
    """How many nights ended how, a row for each kind of night."""
    outcomes = list(Counter(row["outcome"] for row in nights))
    table = Table("night", *outcomes, "in all")
    for event in dict.fromkeys(row["event"] for row in nights):
        ended = Counter(row["outcome"] for row in nights if row["event"] == event)
        table.add_row(event, *(str(ended[outcome] or "") for outcome in outcomes), str(ended.total()))
    return table


def main() -> None:
    """Live through the nights, print and write what came of them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.year", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="file for the figures and every night")
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.getLogger("tasks").setLevel(logging.ERROR)  # each release would be warned of: its code is not committed
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        year = open_year(Path(folder), seed=options.seed)
        for night in calendar(options.nights, seed=options.seed):
            year.live(night)
        margin = params_file.load(year.settings.workspace / params_file.PARAMS_FILE).gate.margin_bits_per_byte
        found = judge(year, margin)
    found["seconds"] = {"wall": round(time.monotonic() - started), "cpu": round(time.process_time())}
    console = Console()
    console.print(show(year.nights))
    console.print_json(data=found)
    options.json.write_text(json.dumps({**found, "log": year.nights, "gc": year.disk}, indent=1) + "\n")


if __name__ == "__main__":
    main()
