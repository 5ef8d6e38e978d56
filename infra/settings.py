"""Whereabouts: what changes the machine but not the result, from `ABCD_*` variables; in a checkout also from its file.

Every state that is no output of a step lives under `.abcd/` in the workspace unless moved by its setting.
"""

import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

PREFIX = "ABCD_"
# Made by infra/checkout.py: a folder that has it is the checkout of a run, and its settings are in it.
CHECKOUT_FILE = Path(".abcd", "checkout.json")


class SettingsError(ValueError):
    """An `ABCD_*` variable is not usable; the message names it, the value and what is allowed."""


class WorkspaceError(RuntimeError):
    """This folder is no workspace."""


class Settings(BaseModel):
    """One field a variable: `registry` is `ABCD_REGISTRY`. What is given counts before the environment."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    workspace: Path = Field(default=Path(), description="root of the clone: where dvc.yaml is")
    state: Path = Field(default=Path(".abcd"), description="state that is no output of a step")
    runs: Path = Field(default=Path("runs"), description="what steps leave beside outputs: progress, rejected rows")
    records: Path = Field(default=Path(), description="logs, records and reports of runs, what trainings took")
    checkpoints: str = Field(default="", description="where an interrupted training goes on from; a folder or URL")
    registry: str = Field(default="", description="where releases are; a folder or URL")
    seen: Path = Field(default=Path(), description="what this machine has seen of registries, held against them")
    keys: Path = Field(default=Path(), description="private signing key")
    cache: Path = Field(default=Path(), description="what makes steps incremental; never changes a result")
    prefect_home: Path = Field(default=Path(), description="database and settings of the Prefect server")
    dvc_cache: Path = Field(default=Path(), description="DVC's cache, may be shared by workspaces")
    remote: str = Field(default="", description="DVC remote that publish pushes to")
    source_root: Path = Field(default=Path(), description="where relative source paths start")
    main: Path = Field(default=Path(), description="workspace whose checkout this one is; itself, if it is none")
    checkouts: Path = Field(default=Path(), description="where deployed runs get a checkout of their own")
    commit: str = Field(default="", description="commit, branch or tag of a deployed run; empty: the workspace's HEAD")
    keep_checkouts_hours: float = Field(default=24, ge=0, description="how long the checkout of a good run stays")
    keep_failed_checkouts_hours: float = Field(default=168, ge=0, description="how long that of a failed one stays")
    keep_runs_days: float = Field(
        default=30, ge=0, description="how long `abcd gc` keeps data of runs without a release"
    )
    workers: int = Field(default=0, ge=0, le=4096, description="training workers; 0: one a core or GPU")
    expert_workers: int = Field(
        default=0, ge=0, le=4096, description="with train.parallel=shard, workers that divide the experts; 0: all"
    )
    data_engine: Literal["cores", "one", "ray"] = Field(
        default="cores", description="what makes documents: all cores of this machine, one, or a Ray cluster"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="what workers train on")
    ray_address: str = Field(default="", description="Ray cluster to join; empty: one on this machine")
    checkpoint_steps: int = Field(default=100, ge=1, description="optimizer steps between checkpoints")
    stall_seconds: int = Field(default=600, ge=1, description="a worker without a step for so long is started anew")
    notify: SecretStr = Field(default=SecretStr(""), description="who is told of a run's end; a URL, may hold a secret")
    notify_always: bool = Field(default=False, description="tell also of runs that brought nothing new")
    discover: bool = Field(default=False, description="look at the sources again instead of keeping the manifest")
    discover_full: bool = Field(
        default=False, description="ask databases for all rows, not only for those that are new"
    )
    host: str = Field(
        default="127.0.0.1", description="where `abcd up` listens; other than loopback needs an auth string"
    )
    port: int = Field(default=4200, ge=1, le=65535, description="port of the Prefect API and UI of `abcd up`")
    auth_file: Path | None = Field(
        default=None, description="file with the auth string of the Prefect API, user:password"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_environment(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        said = {name: os.environ.get(PREFIX + name.upper()) for name in cls.model_fields}
        return {**{name: value for name, value in said.items() if value is not None}, **given}

    @model_validator(mode="after")
    def _place(self) -> Self:
        """Make paths absolute; what is not set lives under `state`."""
        root = self.workspace.resolve()
        state = root / self.state
        places: dict[str, Any] = {
            "workspace": root,
            "state": state,
            "runs": root / self.runs,
            "records": root / (self.records if self.records != Path() else self.runs),
            "main": root / self.main,
            "checkpoints": _place_or_url(root, self.checkpoints or root / self.runs / "checkpoints"),
            "registry": _place_or_url(root, self.registry or state / "registry"),
            "remote": _place_or_url(root, self.remote or state / "remote"),
            "source_root": root / self.source_root,
            "auth_file": root / self.auth_file if self.auth_file else None,
        }
        for name, folder in [
            ("keys", "keys"), ("cache", "cache"), ("prefect_home", "prefect"), ("dvc_cache", "dvc-cache"),
            ("seen", "seen"), ("checkouts", "checkouts"),
        ]:  # fmt: skip
            given: Path = getattr(self, name)
            places[name] = root / given if given != Path() else state / folder
        for name, value in places.items():
            object.__setattr__(self, name, value)
        return self

    @cached_property
    def artifacts(self) -> Path:
        """Where steps' outputs are."""
        return self.workspace / "artifacts"

    @property
    def snapshots(self) -> Path:
        """Rows of databases, as discover saw them."""
        return self.artifacts / "discover" / "snapshots"

    @property
    def not_sources(self) -> set[Path]:
        """Folders below a source that hold what this pipeline made, here and in the main workspace."""
        mains = {self.main / folder for folder in ("artifacts", "runs", ".abcd")}
        ours = {self.artifacts, self.runs, self.records, self.state, self.cache, self.checkouts, *mains}
        return {path.resolve() for path in ours}

    @classmethod
    def load(cls) -> Self:
        """Settings of the workspace that the current folder is in; in a checkout the file that it was made with counts.

        The environment of whoever made the checkout may name another workspace and have other relative paths.

        Raises:
            SettingsError: a variable has an impossible value.
            WorkspaceError: no folder from here upwards is a git clone with `dvc.yaml`.
        """
        here = Path.cwd()
        try:
            for folder in (here, *here.parents):
                if (folder / "dvc.yaml").is_file() and (folder / CHECKOUT_FILE).is_file():
                    return cls(**json.loads((folder / CHECKOUT_FILE).read_text())["settings"])
            settings = cls()
        except ValidationError as error:
            problems = "; ".join(
                f"{PREFIX}{str(p['loc'][0]).upper()}: found {p['input']!r}; {p['msg'].lower()}" for p in error.errors()
            )
            raise SettingsError(problems) from None
        if "workspace" in settings.model_fields_set:
            here, candidates = settings.workspace, [settings.workspace]
        else:
            candidates = [here, *here.parents]
        for folder in candidates:
            if (folder / "dvc.yaml").is_file():
                break
        else:
            raise WorkspaceError(
                f"{here} is in no workspace: no dvc.yaml here or above; "
                "change to a git clone of the project, or set ABCD_WORKSPACE to one"
            )
        if not (folder / ".git").exists():
            raise WorkspaceError(
                f"{folder} has dvc.yaml but is no git clone: DVC keeps versions beside git; "
                "clone the project with git, or type `git init && git add . && git commit -m start` there"
            )
        return cls(workspace=folder)


def _place_or_url(root: Path, given: str | Path) -> str:
    """A URL as it is, a folder as an absolute path."""
    return str(given) if "://" in str(given) else str(root / given)
