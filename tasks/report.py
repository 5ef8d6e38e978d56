"""What each step leaves: a folder that is complete or absent, and a report of counts, facts and reasons."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

REPORT_FILE = "report.json"


class StepError(RuntimeError):
    """A step cannot go on; the message says what was expected, what was found and what to do next."""


class Report(BaseModel):
    """Deterministic account of a step: same inputs, same bytes. Timings are measurements, not part of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: str
    summary: str = Field(default="", description="what came out, in one line")
    rows_in: int | None = Field(default=None, description="documents read")
    rows_out: int | None = Field(default=None, description="documents passed on")
    rows_rejected: int | None = Field(default=None, description="documents kept back, with a reason")
    reasons: dict[str, int] = Field(default_factory=dict, description="rejected documents a reason")
    facts: dict[str, Any] = Field(default_factory=dict, description="what else is worth knowing, by name")
    pictures: tuple[str, ...] = Field(default=(), description="PNG files beside the report")

    @model_validator(mode="after")
    def _nothing_vanishes(self) -> Self:
        if self.rows_in is not None and self.rows_in != (self.rows_out or 0) + (self.rows_rejected or 0):
            raise ValueError(
                f"{self.step}: {self.rows_in} rows came in, but {self.rows_out} went out "
                f"and {self.rows_rejected} were rejected; rows were lost or made up"
            )
        return self

    def write(self, folder: Path) -> None:
        """Write `report.json`, the last file of a step."""
        write_json(folder / REPORT_FILE, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Report in a step's output folder."""
        return cls.model_validate_json((folder / REPORT_FILE).read_bytes())


@contextmanager
def step_output(artifacts: Path, step: str) -> Iterator[Path]:
    """A fresh folder that takes the name `artifacts/<step>` when the block ends well, and vanishes when not."""
    final, fresh, old = artifacts / step, artifacts / f".{step}.new", artifacts / f".{step}.old"
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        yield fresh
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    if final.exists():
        final.rename(old)
    fresh.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that is the same bytes for the same value, under a temporary name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text + "\n", encoding="utf-8")
    fresh.replace(path)


def read_json(path: Path) -> Any:
    """What `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
