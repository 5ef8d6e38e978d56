"""The whole stage on one core, on all cores and on a Ray cluster of two nodes: the same bytes."""

import json
import os
import random
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from tests.ray_nodes import ROOT, shared_environment, two_nodes

pytestmark = [pytest.mark.thread, pytest.mark.long, pytest.mark.timeout(280)]
STEPS = ("discover", "ingest", "clean", "privacy", "dedup", "validate", "tokenizer", "pack")
HALVES = "pump valve bear oil leak place check seal motor line shift read press office night".split()  # noqa: SIM905
WORDS = [first + second for first in HALVES for second in HALVES] + ["the", "of", "and", "to", "with", "that"] * 12


# Beside a text, so large that no other file shares its file's shard.
ATTACHED = "x" * (8 << 20)


def make(workspace) -> None:
    """Text in twelve shards, some of it double, some rejected, some with an address."""
    draw = random.Random(1)
    kept: list[str] = []
    for number in range(12):
        for _ in range(40):
            sentences = [" ".join(draw.choices(WORDS, k=12)).capitalize() + "." for _ in range(10)]
            kept.append(
                draw.choice(kept) if kept and draw.random() < 0.1 else "\n".join([*sentences, "Ask jane.doe@corp.de."])
            )
        attached = [ATTACHED, *[""] * 39]
        rows = "".join(
            json.dumps({"text": text, "file": file}) + "\n" for text, file in zip(kept[-40:], attached, strict=True)
        )
        workspace.file(f"docs/{number}.jsonl", f"{rows}broken\n")
    for name in (".git", "dvc.yaml"):
        (workspace.root / name).touch()
    workspace.set(tokenizer={"vocab_size": 512})
    with (workspace.root / "params.yaml").open("w") as file:
        YAML().dump(json.loads(workspace.params.model_dump_json()), file)


def run(workspace, environment: dict[str, str]) -> dict[str, dict[str, bytes]]:
    for step in STEPS:
        done = subprocess.run(
            [sys.executable, "-m", "tasks", step], cwd=ROOT, capture_output=True, text=True, check=False,
            env={**environment, "ABCD_WORKSPACE": str(workspace.root)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    return {step: workspace.bytes_of(step) for step in STEPS}


def test_the_same_bytes_everywhere(make_workspace, tmp_path):
    made = {}
    environment = shared_environment(tmp_path)
    with two_nodes(environment) as address:
        for engine in ("one", "cores", "ray"):
            workspace = make_workspace()
            make(workspace)
            ray = {"ABCD_RAY_ADDRESS": address} if engine == "ray" else {}
            before = environment if ray else dict(os.environ)
            made[engine] = run(workspace, {**before, **ray, "ABCD_DATA_ENGINE": engine})
    assert made["one"] == made["cores"] == made["ray"]
    assert len(json.loads(made["one"]["dedup"]["shards.json"])) == 12
    dedup = json.loads(made["one"]["dedup"]["report.json"])
    assert dedup["reasons"]["duplicate_of"] > 10
    assert dedup["rows_out"] > 300
