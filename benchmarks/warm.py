"""On from the champion or from nothing: `python -m benchmarks.warm --json FILE [--seeds N] [--tokens N]`.

A night's question on real text: a base is trained on PostgreSQL's manual; then pages come, of the same manual and of
another one (Python's), and a model is trained for the night's tokens on from the base, from nothing, and from nothing
for the base's tokens too. All by the graph itself in a clone, the base by way of a release; judged in bits per byte
on the same pages, which each of them held out. Every seed has a base of its own.
"""

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table

from benchmarks.retrain import DOCUMENTS, ROOT
from infra.releases import Registry
from infra.settings import Settings
from infra.workspace import prepare
from tasks import params as params_file
from tasks.compute.meter import hardware
from tasks.distribution.bootstrap import Interval, paired_interval
from tasks.distribution.publish import store_release
from tasks.distribution.registry import signing_key
from tasks.distribution.verdict import Verdict
from tasks.report import read_json

NAME = "company"
DATA = ROOT.parent / "shared" / "data"
OLD, NEW = "techdoc_en_postgresql.jsonl.gz", "techdoc_en_python.jsonl.gz"
# File of the sources -> where its pages are from, and which of them.
BEFORE, MORE, OTHER = "before", "more", "other"
ALL = "all"
PARTS = {BEFORE: (OLD, slice(0, 600)), MORE: (OLD, slice(600, 750)), OTHER: (NEW, slice(0, 150))}
PAGE_CHARACTERS = 4000
SHAPE: Mapping[str, Any] = {
    "blueprint.sequence_length": 128, "blueprint.width": 64, "blueprint.n_layers": 3, "blueprint.n_heads": 2,
    "blueprint.dense_ffn_width": 192, "blueprint.expert_ffn_width": 64, "blueprint.n_experts": 8,
    "tokenizer.vocab_size": 1024, "train.batch_tokens": 2048, "evaluate.sample_tokens": 1, "gate.resamples": 1000,
    # By hash alone: a page is on the same side before the night and in it.
    "pack.held_out_share": 0.2, "pack.min_held_out": 1,
}  # fmt: skip
BASE, WARM, SCRATCH, LONG = "the base itself", "from the base", "from nothing", "from nothing, the base's tokens too"
_RESAMPLES, _CONFIDENCE = 10_000, 0.95


class Workspace:
    """A clone of what is committed, with sources of its own."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "workspace"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(self.root)], check=True)
        write_pages(self.root / "sources")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ABCD_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**kept, "PATH": path, "PYTHONPATH": str(self.root)}
        self.settings = Settings(workspace=self.root)
        prepare(self.settings)

    def run(self, *targets: str, sources: Sequence[str], **values: Any) -> pl.DataFrame:
        """Set params, bring the graph up to date; bits of each held-out page."""
        paths = [f"sources/{name}.jsonl" for name in sources]
        said = {"discover.sources": paths, "discover.name": NAME, "discover.base": None, **SHAPE}
        said |= {key.replace("__", "."): value for key, value in values.items()}
        params_file.override(self.root / params_file.PARAMS_FILE, said.items())
        command = [sys.executable, "-m", "dvc", "repro", *targets]
        subprocess.run(command, cwd=self.root, env=self.environment, check=True, stdout=sys.stderr)
        return pl.read_parquet(self.root / DOCUMENTS)

    def release(self) -> str:
        """Make a release of what is there, as publish does; its name."""
        verdict = Verdict.model_validate(read_json(self.settings.artifacts / "gate" / "verdict.json"))
        registry, key = Registry.of(self.settings), signing_key(self.settings.keys)
        made, _ = store_release(self.settings, registry, key, NAME, verdict)
        return f"{NAME}@v{made.version}"


def write_pages(folder: Path) -> None:
    """The sources: beginnings of documents, each cut after a whole line."""
    folder.mkdir()
    for part, (file, which) in PARTS.items():
        with gzip.open(DATA / file, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines][which]
        pages = ({"text": row["text"][:PAGE_CHARACTERS].rpartition("\n")[0]} for row in rows)
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))


def train_all(workspace: Workspace, seeds: Sequence[int], tokens: int) -> dict[str, list[pl.DataFrame]]:
    """Bits of the held-out pages under each model, by how it was made, a table a seed."""
    found: dict[str, list[pl.DataFrame]] = {name: [] for name in (BASE, SCRATCH, LONG, WARM)}
    bases = []
    for seed in seeds:
        found[BASE].append(workspace.run(sources=[BEFORE], train__seed=seed, train__tokens=tokens))
        bases.append(workspace.release())
    for name, base_tokens in ((SCRATCH, 0), (LONG, tokens)):
        for seed in seeds:
            found[name].append(
                workspace.run("evaluate", sources=[*PARTS], train__seed=seed, train__tokens=tokens + base_tokens)
            )
    for seed, base in zip(seeds, bases, strict=True):
        # The night's own seed, or it would read the base's batches once more in the same order.
        night = {"train__seed": seed + len(seeds), "train__tokens": tokens, "discover__base": base}
        found[WARM].append(workspace.run("evaluate", sources=[*PARTS], **night))
    return found


def shared_pages(tables: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Pages that every model held out: which ones depends on what its base had read, copies included."""
    first, *others = tables
    for each in others:
        first = first.join(each, on=["id", "bytes"], how="semi")
    return first.select("id")


def part_of(rows: pl.DataFrame, part: str, pages: pl.DataFrame) -> pl.DataFrame:
    """Of these pages those of one file of the sources, or all, in one order."""
    chosen = rows if part == ALL else rows.filter(pl.col("uri").str.contains(f"{part}.jsonl", literal=True))
    return chosen.join(pages, on="id", how="semi").sort("id")


def bits_per_byte(rows: pl.DataFrame) -> float:
    """Of all pages together."""
    return float(rows["bits"].sum()) / float(rows["bytes"].sum())


def difference(mine: Sequence[pl.DataFrame], theirs: Sequence[pl.DataFrame]) -> dict[str, Any]:
    """Mine minus theirs in bits per byte: of each seed, their mean, and its interval over pages drawn anew.

    Raises:
        RuntimeError: they were not judged by the same pages.
    """
    pages = mine[0].select("id", "bytes")
    if any(not each.select("id", "bytes").equals(pages) for each in (*mine, *theirs)):
        raise RuntimeError("the models were judged by different pages: nothing can be compared")
    middle = [np.mean([each["bits"].to_numpy() for each in side], axis=0) for side in (mine, theirs)]
    interval: Interval = paired_interval(
        candidate_bits=middle[0],
        champion_bits=middle[1],
        size_bytes=pages["bytes"].to_numpy(),
        groups=pages["id"].to_numpy().astype(np.str_),
        resamples=_RESAMPLES,
        confidence=_CONFIDENCE,
        seed=1,
    )
    seeds = [bits_per_byte(a) - bits_per_byte(b) for a, b in zip(mine, theirs, strict=True)]
    return {"mean": interval.difference, "low": interval.low, "high": interval.high, "seeds": seeds}


def compare(found: Mapping[str, Sequence[pl.DataFrame]]) -> dict[str, Any]:
    """Figures of the shared pages, of all and of each part: bits per byte by model and seed, and the differences."""
    figures: dict[str, Any] = {}
    for part in (ALL, *PARTS):
        # The base was judged before the new pages came.
        models = [name for name in found if name != BASE or part == BEFORE]
        pages = shared_pages(each for name in models for each in found[name])
        tables = {name: [part_of(each, part, pages) for each in found[name]] for name in models}
        figures[part] = {
            "pages": tables[WARM][0].height,
            "bytes": int(tables[WARM][0]["bytes"].sum()),
            "held_out": {name: [part_of(each, part, each).height for each in found[name]] for name in models},
            "bits_per_byte": {name: [bits_per_byte(each) for each in rows] for name, rows in tables.items()},
            f"{WARM} minus": {name: difference(tables[WARM], tables[name]) for name in models if name != WARM},
        }
    return figures


def show(figures: Mapping[str, Any]) -> Table:
    """A row for each part and what the warm start is compared with."""
    table = Table("pages", "of", "compared with", "its bits per byte", WARM, "difference", "95 %", "seeds")
    for part, each in figures.items():
        warm = statistics.mean(each["bits_per_byte"][WARM])
        for name, found in each[f"{WARM} minus"].items():
            theirs = statistics.mean(each["bits_per_byte"][name])
            seeds = ", ".join(f"{one:+.3f}" for one in found["seeds"])
            interval = f"{found['low']:+.3f} to {found['high']:+.3f}"
            table.add_row(
                str(each["pages"]), part, name, f"{theirs:.3f}", f"{warm:.3f}", f"{found['mean']:+.3f}", interval, seeds
            )
    return table


def main() -> None:
    """Train, compare, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.warm", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="file for the figures")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=204_800, help="of the base, and of the night")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        found = train_all(Workspace(Path(folder)), range(1, options.seeds + 1), options.tokens)
    figures = compare(found)
    Console().print(show(figures))
    said = {"machine": hardware(), "tokens": options.tokens, "seconds": round(time.monotonic() - started)}
    options.json.write_text(json.dumps({**said, "parts": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
