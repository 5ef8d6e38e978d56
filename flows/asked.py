"""A workspace becomes what was asked of a run: name, sources, params that differ from the commit's, the commit."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from infra.settings import Settings
from tasks import params
from tasks.distribution.code_state import git
from tasks.params import PARAMS_FILE, ParamsError
from tasks.report import StepError

# Every run writes the one; the other is told value by value.
_NOT_EDITS = (":!dvc.lock", f":!{PARAMS_FILE.name}")


class Change(BaseModel):
    """A value of `params.yaml` that is not the commit's."""

    model_config = ConfigDict(frozen=True)

    key: str
    before: str
    now: str


class Asked(BaseModel):
    """What the run was to make, and of what."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(default="", description="of the model; empty: params.yaml cannot be used")
    sources: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    commit: str = Field(default="", description="empty: nothing was ever committed")
    edited: int = Field(default=0, description="files that differ from the commit")

    @property
    def uncommitted(self) -> str:
        """How many files differ from the commit, in words."""
        return f"{self.edited} files that are not committed" if self.edited > 1 else "1 file that is not committed"


def asked(settings: Settings) -> Asked:
    """What `params.yaml` and git say now; what cannot be read is left out, for the run itself says why."""
    workspace = settings.workspace
    found: dict[str, Any] = {}
    try:
        made = params.load(workspace / PARAMS_FILE)
        found |= {"name": made.model_name, "sources": tuple(source.uri for source in made.discover.sources)}
    except ParamsError:
        pass
    try:
        found["commit"] = git(workspace, "rev-parse", "--verify", "--quiet", "HEAD", may_fail=True).strip()
        edited = git(workspace, "status", "--porcelain", "--", ".", *_NOT_EDITS)
        found["edited"] = len(edited.splitlines())
        committed = git(workspace, "show", f"HEAD:./{PARAMS_FILE.name}", may_fail=True)
        found["changes"] = tuple(_changes(committed, workspace / PARAMS_FILE))
    except (StepError, OSError, YAMLError, UnicodeDecodeError):
        pass
    return Asked(**found)


def _changes(committed: str, path: Path) -> Iterator[Change]:
    yaml = YAML(typ="safe")
    before = dict(_flat(yaml.load(committed)))
    now = dict(_flat(yaml.load(path.read_text(encoding="utf-8"))))
    for key in [*now, *(key for key in before if key not in now)]:
        if before.get(key) != now.get(key):
            yield Change(key=key, before=_shown(before.get(key)), now=_shown(now.get(key)))


def _flat(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _flat(value, f"{path}.{key}" if path else str(key))
    elif path:
        yield path, tree


def _shown(value: Any) -> str:
    if value is None:
        return "as in the preset"
    if isinstance(value, list):
        return ", ".join(f"({_shown(one)})" if isinstance(one, Mapping) else _shown(one) for one in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return str(value)
