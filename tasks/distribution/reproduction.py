"""A record of a release or a run -> its code, params, raw documents in a fresh checkout; then what came out, compared.

What lies between, every step from the raw documents on, is run by who calls: here nothing is taken from a cache that an
earlier run has filled, and no byte from the store whose digest is not the recorded one.
"""

import hashlib
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from infra.checkout import make_checkout
from infra.outputs import FOLDER, object_name, outputs_of
from infra.releases import Registry
from infra.settings import Settings
from infra.storage import LocalStore, Store, open_store
from infra.workspace import prepare
from tasks.distribution.code_state import CodeState, git, patch_bytes
from tasks.distribution.record import versions
from tasks.distribution.run_record import find_run
from tasks.distribution.weights_difference import WEIGHTS_SUFFIX, describe_difference
from tasks.report import StepError

logger = logging.getLogger(__name__)

# The world as it was then; every step after these is run anew.
TAKEN = ("discover", "ingest")
_OWN = {"dvc_cache": ".abcd/dvc-cache", "cache": ".abcd/cache", "checkpoints": "runs/checkpoints", "records": "runs"}
_NAMED = 5


class Recipe(BaseModel):
    """What a record says of how something was made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ref: str
    code: CodeState
    params: str
    dvc_lock: str
    versions: dict[str, str]

    @property
    def outputs(self) -> dict[str, dict[str, str]]:
        """Digest of each output path of each step."""
        return outputs_of(self.dvc_lock)


class OutputRow(BaseModel):
    """One output, then and now."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: str
    path: str
    expected: str = Field(description="digest in the record")
    found: str = Field(description="digest now; empty: it is not there")
    difference: str = Field(description="by how much they differ; empty: the same bytes")

    @property
    def is_same(self) -> bool:
        """Whether it is the same bytes."""
        return self.expected == self.found


class Reproduction(BaseModel):
    """What came of making something again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ref: str
    is_same: bool = Field(description="every output is the same bytes")
    commit: str
    is_patched: bool = Field(description="uncommitted changes were applied from the record")
    checkout: Path
    taken: tuple[str, ...] = Field(description="steps whose outputs came from the store, verified")
    executed: tuple[str, ...] = Field(description="steps that were run")
    restored: tuple[str, ...] = Field(description="steps that DVC did not run; there must be none")
    outputs: tuple[OutputRow, ...]
    damaged: tuple[str, ...] = Field(description="objects of the store that were changed, and not used")
    other_versions: dict[str, str] = Field(description="what was of another version then, and now")


class Sources:
    """Stores of recorded objects: the DVC remote, then this machine's cache; only verified bytes come out."""

    def __init__(self, settings: Settings) -> None:
        self._stores: list[Store] = [open_store(settings.remote), LocalStore(settings.dvc_cache)]
        self.damaged: list[str] = []

    def fetch(self, digest: str, to: Path) -> bool:
        """Copy an object; whether one of the stores has it as recorded."""
        for store in self._stores:
            try:
                store.download(object_name(digest), to)
            except FileNotFoundError:
                to.unlink(missing_ok=True)
                continue
            with to.open("rb") as file:
                found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if found == digest.removesuffix(FOLDER):
                return True
            to.unlink()
            where = store.where(object_name(digest))
            if where not in self.damaged:
                self.damaged.append(where)
                logger.warning("%s was changed: expected MD5 %s, found %s; it is not used", where, digest, found)
        return False

    def require(self, digest: str, to: Path, *, what: str) -> None:
        """Copy an object.

        Raises:
            StepError: no store has it as recorded.
        """
        to.parent.mkdir(parents=True, exist_ok=True)
        if to.is_file() or self.fetch(digest, to):
            return
        changed = [where for where in self.damaged if where.endswith(object_name(digest))]
        how = f"was changed in {', '.join(changed)}" if changed else "is missing"
        stores = ", ".join(store.root for store in self._stores)
        raise StepError(
            f"{what} (MD5 {digest}) {how}, and nothing else has it of {stores}; nothing was run: restore it from a copy"
        )

    def files(self, path: str, digest: str, scratch: Path) -> dict[str, str]:
        """Digest of each file of an output; none where its list cannot be had."""
        if not digest.endswith(FOLDER):
            return {path: digest}
        listed = scratch / "list"
        if not self.fetch(digest, listed):
            return {}
        entries: list[dict[str, Any]] = json.loads(listed.read_bytes())
        return {f"{path}/{entry['relpath']}": entry["md5"] for entry in entries}


def recipe_of(settings: Settings, ref: str) -> Recipe:
    """What the record of a release (`NAME@vN`) or of a run says.

    Raises:
        StepError: no such run, or one that ended before there was anything to make again.
        StorageError: no such release, or its record was changed.
    """
    if "@" in ref:
        registry = Registry.of(settings)
        log, release = registry.release(ref)
        ref = f"{log.name}@v{release.version}"
        record = json.loads(registry.blob(release.record, what=f"{ref} record.json"))
    else:
        record = find_run(settings, ref).model_dump()
    recipe = Recipe(ref=ref, **{field: record[field] for field in ("code", "params", "dvc_lock", "versions")})
    missing = [step for step in TAKEN if not recipe.dvc_lock or step not in recipe.outputs]
    if missing or not recipe.code.commit:
        lacks = f"{', '.join(missing)} had not ended" if missing else "nothing was committed"
        raise StepError(f"{ref} cannot be made again: {lacks} when it was recorded")
    if recipe.code.left_out:
        logger.warning("%s was made beside files too large to record: %s", ref, ", ".join(recipe.code.left_out))
    return recipe


def lay_out(settings: Settings, recipe: Recipe, sources: Sources) -> Settings:
    """A checkout with the recorded code, params, manifest and raw documents, its DVC cache otherwise empty.

    Raises:
        StepError: the patch does not apply, or an object is missing or was changed.
        GitError: nobody has the commit.
    """
    assert recipe.code.commit
    name = f"reproduce-{recipe.ref.replace('@', '-')}"
    own = make_checkout(settings, name, commit=recipe.code.commit, own=_OWN)
    if recipe.code.patch:
        with tempfile.NamedTemporaryFile() as patch:
            Path(patch.name).write_bytes(patch_bytes(recipe.code))
            git(own.workspace, "apply", "--whitespace=nowarn", patch.name)
    (own.workspace / "params.yaml").write_text(recipe.params, encoding="utf-8")
    lock = YAML(typ="safe").load(recipe.dvc_lock)
    lock["stages"] = {step: entry for step, entry in lock["stages"].items() if step in TAKEN}
    with (own.workspace / "dvc.lock").open("w", encoding="utf-8") as file:
        YAML().dump(lock, file)
    prepare(own)
    for step in TAKEN:
        for path, digest in recipe.outputs[step].items():
            _take(own, sources, path, digest)
    _dvc_checkout(own)
    return own


def steps_to_run(recipe: Recipe, workspace: Path) -> list[str]:
    """The recorded steps after the raw documents, in the graph's order."""
    graph = YAML(typ="safe").load((workspace / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return [step for step in graph if step in recipe.outputs and step not in TAKEN]


def compare(own: Settings, recipe: Recipe, sources: Sources) -> tuple[OutputRow, ...]:
    """Each recorded output of the steps that were run, held against what is in the checkout now."""
    now = outputs_of((own.workspace / "dvc.lock").read_text(encoding="utf-8"))
    return tuple(
        OutputRow(
            step=step, path=path, expected=digest, found=found,
            difference="" if found == digest else _difference(own, sources, path, digest),
        )
        for step in steps_to_run(recipe, own.workspace)
        for path, digest in recipe.outputs[step].items()
        for found in [now.get(step, {}).get(path, "")]
    )  # fmt: skip


def other_versions(recipe: Recipe) -> dict[str, str]:
    """What a result may depend on and is not as it was."""
    now = versions()
    return {
        name: f"{recipe.versions.get(name, 'none')}, now {now.get(name, 'none')}"
        for name in sorted({*recipe.versions, *now})
        if recipe.versions.get(name) != now.get(name)
    }


def _take(own: Settings, sources: Sources, path: str, digest: str) -> None:
    target = own.dvc_cache / object_name(digest)
    sources.require(digest, target, what=path)
    if digest.endswith(FOLDER):
        for entry in json.loads(target.read_bytes()):
            what = f"{path}/{entry['relpath']}"
            sources.require(entry["md5"], own.dvc_cache / object_name(entry["md5"]), what=what)


def _dvc_checkout(own: Settings) -> None:
    command = [sys.executable, "-m", "dvc", "checkout", *TAKEN]
    done = subprocess.run(command, cwd=own.workspace, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(f"dvc checkout in {own.workspace} failed: {(done.stderr or done.stdout).strip()[-1000:]}")


def _difference(own: Settings, sources: Sources, path: str, digest: str) -> str:
    """By how much the files of an output differ, in words."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        then = sources.files(path, digest, scratch)
        if not then:
            return "what it was file by file is in no store"
        here = own.workspace / path
        now = {file.relative_to(own.workspace).as_posix(): file for file in _files_of(here)}
        said = [f"{name} is missing" for name in sorted(then.keys() - now.keys())]
        said += [f"{name} is new" for name in sorted(now.keys() - then.keys())]
        differing = [name for name in sorted(then.keys() & now.keys()) if _md5(now[name]) != then[name]]
        said += [_file_difference(sources, name, then[name], now[name], scratch) for name in differing]
    more = [f"and {len(said) - _NAMED} more"] if len(said) > _NAMED else []
    return "; ".join([*said[:_NAMED], *more])


def _file_difference(sources: Sources, name: str, digest: str, now: Path, scratch: Path) -> str:
    then = scratch / "then"
    if not sources.fetch(digest, then):
        return f"{name}: other bytes, and what they were is in no store"
    if now.suffix == WEIGHTS_SUFFIX:
        return f"{name}: {describe_difference(then, now)}"
    return f"{name}: {now.stat().st_size:,} bytes, were {then.stat().st_size:,}"


def _files_of(output: Path) -> Iterator[Path]:
    if output.is_dir():
        yield from (path for path in output.rglob("*") if path.is_file())
    elif output.is_file():
        yield output


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def environment_of(own: Settings, about: Mapping[str, Any]) -> dict[str, str]:
    """A checkout's settings as variables, for code that is older than the file they are in."""
    return {f"ABCD_{name.upper()}": str(getattr(own, name)) for name in about["settings"]}
