"""A workspace whose steps have ended, and accounts of runs in it: what the tests of what people see share."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.account import Account, StepResult
from infra.settings import Settings
from tasks.distribution.publish import PublishedRelease
from tasks.report import Report, sha256_of, write_json
from tests.conftest import ROOT

# The smallest PNG: one pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cfc0f01f0005000100ff56c72f0d0000000049454e44ae426082"
)
EVIL = "<script>alert(1)</script> ![x](http://evil.example/p.png) | `code` **bold**"
TEXT = {"tokens": 1600, "bytes": 4000, "documents": 20, "distinct_tokens": 1000, "distinct_bytes": 4000}
REPORTS: dict[str, dict[str, Any]] = {
    "ingest": {"rows_in": 22, "rows_out": 22, "rows_rejected": 0, "summary": "22 documents"},
    "clean": {
        "rows_in": 22, "rows_out": 20, "rows_rejected": 2, "reasons": {"too_short": 2}, "summary": f"20 of {EVIL}",
    },
    "validate": {"rows_in": 20, "rows_out": 20, "rows_rejected": 0, "summary": "20 keep the contract"},
    "pack": {"facts": {"train": TEXT, "held_out": TEXT}},
    "describe": {"summary": "20 of 22 documents on one page"},
    "train": {
        "summary": "10 steps", "pictures": ("curves.png",),
        "facts": {"tokens": 4000, "epochs": 4.0, "training_flops": 8_000_000_000_000, "final_loss": 1.5},
    },
    "evaluate": {
        "facts": {"bits_per_byte": 2.0, "byte_3gram": 2.5, "byte_5gram": 2.25, "xz": 2.75},
        "pictures": ("evaluation.png",),
    },
    "gate": {"facts": {"champion": {"version": 1}, "champion_bits_per_byte": 1.9}},
}  # fmt: skip
MEASURED = {
    "tokens_per_second": 5628.4, "wall_seconds": 181.9, "flops_per_second": 44e9, "workers": 2,
    "matmul_peak_flops_per_second": 158e9, "share_of_matmul_peak": 0.28, "peak_rss_bytes": 2**30,
    "hardware": {"processor": "A Chip", "cores": 2, "gpus": []},
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A workspace in which every step of `REPORTS` has ended."""
    root = tmp_path / "clone"
    (root / ".git").mkdir(parents=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    for step, report in REPORTS.items():
        folder = root / "artifacts" / step
        Report(step=step, **report).write(folder)
        for number, name in enumerate(report.get("pictures", ())):
            (folder / name).write_bytes(PNG + bytes([number]) + step.encode())
    write_json(root / "artifacts" / "evaluate" / "samples.json", [{"prompt": "it's ", "text": f"it's {EVIL}"}])
    (root / "artifacts" / "train" / "model.safetensors").write_text("weights")
    (root / "artifacts" / "describe" / "data.html").write_text("samples")
    (root / "artifacts" / "validate" / "data_docs").mkdir()
    (root / "artifacts" / "validate" / "data_docs" / "index.html").write_text("rules")
    measured = root / "runs" / "measured" / sha256_of(root / "artifacts" / "train" / "model.safetensors")
    write_json(measured.with_suffix(".json"), MEASURED)
    measured.with_suffix(".png").write_bytes(PNG)
    monkeypatch.chdir(root)
    return Settings(workspace=root)


@pytest.fixture
def ended(settings: Settings) -> Callable[..., Account]:
    """Makes the account of a run in which these steps ended well."""

    def make(*steps: str, run: str = "amber-otter", outcome: Any = "ran") -> Account:
        account = Account(flow="pipeline", run=run, run_id="id-1", folder=settings.runs / run)
        for step in steps or REPORTS:
            report = Report.read(settings.artifacts / step)
            account.done(StepResult(step=step, outcome=outcome, seconds=2.5, report=report))
        return account

    return make


def release(decision: str = "promote", **changes: Any) -> PublishedRelease:
    """A release of the model `notes`."""
    facts = {
        "name": "notes", "version": 3, "is_new": True, "decision": decision, "reasons": ("because",),
        "is_champion": decision == "promote", "bits_per_byte": 2.0, "weights_sha256": "0" * 64,
    }  # fmt: skip
    return PublishedRelease(**{**facts, **changes})


@pytest.fixture
def warnings_of(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What was warned of so far."""
    with caplog.at_level(logging.INFO, logger="flows"):
        yield lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
