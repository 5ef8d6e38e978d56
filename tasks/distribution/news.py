"""What a run would train on now, and a release's record -> what is new since: sources, params, contracts, code.

A release is the same again if its manifest, its params but for the base, and every file of code and contract that its
`dvc.lock` names are as they are here now. Text that no step depends on, as the documentation, is no news.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from infra.releases import Registry
from infra.settings import Settings
from infra.signed_log import Release
from tasks import params as params_file
from tasks.params import Params, ParamsError
from tasks.report import read_json, sha256_of

_NAMED = 3


class News(BaseModel):
    """What `discover` found, held against the releases that there are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    made_before: str = Field(default="", description="why a run would bring nothing; empty: it would")
    items: tuple[str, ...] = Field(default=(), description="what is new since the champion")


def news(settings: Settings) -> News:
    """Compare `artifacts/discover` and this workspace with the champion, then with the newest release.

    The newest may have been refused: made again of the same, from the same base, against the same champion, it would be
    refused again.

    Raises:
        StorageError: a record cannot be read or was changed.
    """
    params = params_file.load(settings.workspace / params_file.PARAMS_FILE)
    champion = read_json(settings.artifacts / "discover" / "champion.json")
    registry = Registry.of(settings)
    log = registry.log(params.model_name)
    items = ["there is no champion yet"]
    if champion:
        ref = f"{log.name}@v{champion['version']}"
        items = differences(settings, params, _record(registry, log.releases[champion["version"] - 1], ref))
        if not items:
            return News(made_before=f"{ref}, the champion, was made of exactly this")
    if log.releases and log.releases[-1].version != champion.get("version"):
        newest, ref = log.releases[-1], f"{log.name}@v{log.releases[-1].version}"
        record = _record(registry, newest, ref)
        if _same_start(settings, record, champion) and not differences(settings, params, record):
            said = "; ".join(record["verdict"]["reasons"])
            return News(
                made_before=f"{ref} was made of exactly this, and the gate said {record['verdict']['decision']}: {said}"
            )
    return News(items=tuple(items))


def differences(settings: Settings, params: Params, record: Mapping[str, Any]) -> list[str]:
    """What is not as in a record, a line a kind."""
    manifest = settings.artifacts / "discover" / "sources.jsonl"
    found = []
    if sha256_of(manifest) != record["manifest"]["sha256"]:
        with manifest.open("rb") as lines:
            found.append(
                f"sources: {sum(1 for _ in lines)} files, of other bytes than its {record['manifest']['sources']}"
            )
    found += _params_lines(params, record["params"])
    changed = sorted(set(_changed_code(settings.workspace, record["dvc_lock"])))
    for kind, of_kind in (("contracts", True), ("code", False)):
        names = [name for name in changed if name.startswith("data_contracts/") == of_kind]
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            found.append(f"{kind}: {', '.join(names[:_NAMED])}{more}")
    return found


def _params_lines(params: Params, recorded: str) -> list[str]:
    """Keys whose values differ, the base's apart: the nightly sets that itself."""
    try:
        then = params_file.parse(YAML(typ="safe").load(recorded), origin="the record's params.yaml")
    except ParamsError:
        return ["params: its keys are not those of this code"]
    old, new = then.model_dump(mode="json"), params.model_dump(mode="json")
    for values in (old, new):
        values["discover"].pop("base")
    keys = [f"{section}.{key}" for section in new for key in new[section] if new[section][key] != old[section][key]]
    return [f"params: {', '.join(keys)}"] if keys else []


def _changed_code(workspace: Path, lock_text: str) -> Iterator[str]:
    """Files of code and contract that are not what they were; steps that are new, gone or run otherwise."""
    now = YAML(typ="safe").load((workspace / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    then = YAML(typ="safe").load(lock_text)["stages"]
    for step in {*now, *then}:
        if step not in now or step not in then or now[step]["cmd"] != then[step]["cmd"]:
            yield f"step {step}"
            continue
        recorded = {dep["path"]: dep.get("md5") for dep in then[step].get("deps", ()) if _is_code(dep["path"])}
        present = {path for path in now[step].get("deps", ()) if _is_code(path)}
        yield from recorded.keys() ^ present
        yield from (path for path in recorded.keys() & present if _md5(workspace / path) != recorded[path])


def _is_code(path: str) -> bool:
    return not path.startswith("artifacts/")


def _md5(path: Path) -> str:
    """As DVC counts a file's digest; empty: there is no such file."""
    try:
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    except FileNotFoundError:
        return ""


def _same_start(settings: Settings, record: Mapping[str, Any], champion: Mapping[str, Any]) -> bool:
    """Whether a run now would start from the same base and be judged against the same champion."""
    base = read_json(settings.artifacts / "discover" / "base.json")
    beaten = record["verdict"].get("champion") or {}
    return record.get("base") == base and beaten.get("version") == champion.get("version")


def _record(registry: Registry, release: Release, ref: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(registry.blob(release.record, what=f"{ref} record"))
    return record
