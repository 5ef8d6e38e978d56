"""What a plan foretold of a training on this machine: kept, untracked, until that training is held against it."""

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.settings import Settings
from tasks.algorithm.blueprint import Blueprint
from tasks.report import read_json, write_json


class Prediction(BaseModel):
    """Of one blueprint; what its record has under `predicted`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wall_seconds: float
    peak_rss_bytes: int = Field(description="of all workers")
    bits_per_byte: float
    machine: str

    def keep(self, settings: Settings, blueprint: Blueprint) -> None:
        """Remember it for the training of `blueprint`; an older one goes."""
        write_json(_file(settings), {"blueprint": blueprint.model_dump(mode="json"), "predicted": self.model_dump()})

    @classmethod
    def of(cls, settings: Settings, blueprint: Blueprint) -> Self | None:
        """What was foretold of this training; null: it was not planned here, or changed since."""
        try:
            kept: dict[str, Any] = read_json(_file(settings))
            is_it = kept["blueprint"] == blueprint.model_dump(mode="json")
            return cls.model_validate(kept["predicted"]) if is_it else None
        except (OSError, ValueError, KeyError, TypeError, ValidationError):
            return None


def _file(settings: Settings) -> Path:
    return settings.records / "plan.json"
