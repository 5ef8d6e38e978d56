"""The whole stage on one core, on all cores and on a Ray cluster of two nodes: the same bytes."""

import json
import os
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from tests.ray_nodes import ROOT, shared_environment, two_nodes

pytestmark = [pytest.mark.thread, pytest.mark.long, pytest.mark.timeout(280)]
STEPS = ("discover", "ingest", "clean", "privacy", "dedup", "validate", "tokenizer", "pack")
WORDS = [
    "pump",
    "valve",
    "bearing",
    "oil",
    "leak",
    "replace",
    "check",
    "seal",
    "motor",
    "line",
    "shift",
    "reading",
    "pressure",
    "office",
    "night",
]


def make(workspace) -> None:
    """Text in a few shards, some of it double, some rejected, some with an address."""
    for number in range(12):
        rows = []
        for row in range(40):
            words = [WORDS[(row * k + number + k * k) % len(WORDS)] for k in range(60 + row)]
            rows.append({"text": f"Report {number % 11} {row}. " + " ".join(words) + ". Mail jane.doe@corp.de.\n"})
        workspace.file(f"docs/{number}.jsonl", "".join(json.dumps(row) + "\n" for row in rows) + "broken\n")
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
    assert sum(name.startswith("part-") for name in made["one"]["clean"]) >= 1
