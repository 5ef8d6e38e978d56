"""All that a release was made of and by, as one JSON blob: enough to make it again and to answer for it."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from infra.settings import Settings
from tasks.distribution.code_state import code_state
from tasks.report import Report, read_json, sha256_of

RECORD_FORMAT = 1
# What a result may depend on; those that are not installed were not used.
_LIBRARIES = (
    "cryptography", "dvc", "gigatoken", "great-expectations", "numpy", "open-data-contract-standard", "pandas",
    "polars", "prefect", "pyarrow", "pydantic", "ray", "safetensors", "tokenizers", "torch", "transformers",
)  # fmt: skip


def make_record(settings: Settings, *, name: str, identity: str, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """The record of what is in `artifacts/` now. Whoever reads it later finds no clock but `made_at` in it."""
    artifacts = settings.artifacts
    code = code_state(settings.workspace)
    weights = sha256_of(artifacts / "train" / "model.safetensors")
    measured = settings.records / "measured" / f"{weights}.json"
    return {
        "format": RECORD_FORMAT,
        "name": name,
        "identity": identity,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": code.model_dump(),
        "params": (settings.workspace / "params.yaml").read_text(encoding="utf-8"),
        "dvc_lock": (settings.workspace / "dvc.lock").read_text(encoding="utf-8"),
        "manifest": manifest_of(artifacts / "discover" / "sources.jsonl"),
        "base": read_json(artifacts / "discover" / "base.json"),
        "held_out_sha256": sha256_of(artifacts / "pack" / "held_out.parquet"),
        "tokenizer_sha256": sha256_of(artifacts / "tokenizer" / "tokenizer.json"),
        "weights_sha256": weights,
        "versions": versions(),
        "hardware": _hardware(),
        "reports": {
            folder.name: Report.read(folder).model_dump(mode="json")
            for folder in sorted(artifacts.iterdir())
            if (folder / "report.json").is_file() and not folder.name.startswith(".")
        },
        "verdict": dict(verdict),
        # Hours, energy and money are known only where train has measured them; nothing is made up.
        "measured": read_json(measured) if measured.is_file() else None,
    }


def manifest_of(path: Path) -> dict[str, Any]:
    """Digest of a manifest, and how many sources it names."""
    with path.open("rb") as lines:
        return {"sha256": sha256_of(path), "sources": sum(1 for _ in lines)}


def versions() -> dict[str, str]:
    """What a result may depend on, beside code and data."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return found


def _hardware() -> dict[str, Any]:
    """The machine that publishes; what the model was trained on is in `measured`."""
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": psutil.cpu_count(logical=True),
        "memory_bytes": psutil.virtual_memory().total,
    }


def _processor() -> str:
    """Name of the processor, which `platform` does not know on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
