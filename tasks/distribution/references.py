"""What names objects of DVC -> their digests: the workspace, every git ref, the records of all releases.

Whatever looks like a digest in a `dvc.lock` or `*.dvc` counts, be it of an output, a dependency or a value: too many
names keep too much, one too few would lose data.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.checkout import checkouts
from infra.outputs import FOLDER, object_name
from infra.releases import Registry, RegistryError
from infra.settings import Settings
from infra.signed_log import Log
from infra.storage import Store
from tasks.distribution.code_state import git
from tasks.report import StepError

_DIGEST = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?:\.dir)?(?![0-9a-f])")
_MISSING = re.compile(r"^([0-9a-f]{40,64}) missing$", re.MULTILINE)
_SIDE_BY_SIDE = 16


def named_digests(settings: Settings, registry: Registry, logs: Iterable[Log]) -> set[str]:
    """Digests that the workspace, git or a release names.

    Raises:
        StepError: git refuses.
        StorageError: a record is missing, was changed or holds no `dvc.lock`.
    """
    texts = [
        *_workspace_texts(settings.workspace),
        *_checkout_texts(settings),
        _git_texts(settings.workspace),
        *_record_texts(registry, logs),
    ]
    return {digest for text in texts for digest in _DIGEST.findall(text)}


def with_files(digests: Iterable[str], stores: Sequence[Store]) -> set[str]:
    """The digests, and those of the files in each folder that they name.

    A folder's list is read from the first store that has it whole; one that no store has cannot be had again, and
    names nothing.

    Raises:
        StorageError: all lists of a folder that there are were changed.
    """
    named = set(digests)
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        lists = pool.map(lambda digest: _files(digest, stores), [one for one in named if one.endswith(FOLDER)])
        return named.union(*lists)


def object_digest(name: str) -> str | None:
    """Digest of the object under a name, None if it is none."""
    match = re.fullmatch(r"files/md5/([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)", name)
    return "".join(match.groups()) if match else None


def _files(digest: str, stores: Sequence[Store]) -> set[str]:
    changed = []
    for store in stores:
        try:
            data = store.read(object_name(digest))
        except FileNotFoundError:
            continue
        if hashlib.md5(data, usedforsecurity=False).hexdigest() == digest.removesuffix(FOLDER):
            return set(_DIGEST.findall(data.decode()))
        changed.append(store.where(object_name(digest)))
    if changed:
        raise RegistryError(
            f"{', '.join(changed)} was changed: it lists a folder's files, and which are needed cannot be told; "
            "nothing was removed; restore it from a copy, or delete it if none is needed"
        )
    return set()


def _workspace_texts(workspace: Path) -> list[str]:
    """Contents of `dvc.lock` and all `*.dvc` as they are in the workspace now."""
    listed = git(workspace, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    paths = [workspace / "dvc.lock", *(workspace / name for name in listed if _is_reference(name))]
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file()]


def _checkout_texts(settings: Settings) -> list[str]:
    """`dvc.lock` of each run's checkout that is still there, as its steps left it."""
    locks = [folder / "dvc.lock" for folder in checkouts(settings)]
    return [lock.read_text(encoding="utf-8", errors="replace") for lock in locks if lock.is_file()]


def _git_texts(workspace: Path) -> str:
    """The same files in the index, in HEAD of every worktree, in every ref and in every stash."""
    trees = {"HEAD"} if git(workspace, "rev-parse", "--verify", "--quiet", "HEAD", may_fail=True) else set()
    for line in git(workspace, "for-each-ref", "--format=%(objecttype) %(objectname)").splitlines():
        kind, name = line.split()
        trees |= {name} if kind != "blob" else set()
    for line in git(workspace, "worktree", "list", "--porcelain").splitlines():
        trees |= {line.removeprefix("HEAD ")} if line.startswith("HEAD ") and line.strip("HEAD 0") else set()
    # A stash is a commit whose parents are the index and what was not tracked; older ones are only in the reflog.
    trees |= set(git(workspace, "log", "-g", "--format=%H %P", "refs/stash", "--", may_fail=True).split())
    listings = [git(workspace, "ls-files", "--stage", "-z")]
    listings += [git(workspace, "ls-tree", "-r", "-z", "--full-tree", tree) for tree in sorted(trees)]
    entries = (entry.split("\t", 1) for listing in listings for entry in listing.split("\0") if entry)
    blobs = {part for about, name in entries if _is_reference(name) for part in about.split() if len(part) >= 40}
    said = git(workspace, "cat-file", "--batch", text="".join(f"{blob}\n" for blob in sorted(blobs)))
    if missing := _MISSING.search(said):
        raise StepError(
            f"git does not have object {missing[1]}, a dvc.lock that a ref names; nothing was removed; type: git fetch"
        )
    return said


def _is_reference(name: str) -> bool:
    path = Path(name)
    return path.name == "dvc.lock" or (path.suffix == ".dvc" and path.stem != "")


def _record_texts(registry: Registry, logs: Iterable[Log]) -> list[str]:
    """`dvc.lock` of each release, from its verified record."""
    records = {
        release.record.sha256: (release.record, f"{log.name}@v{release.version} record.json")
        for log in logs
        for release in log.releases
    }
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
        blobs = pool.map(lambda record: registry.blob(record[0], what=record[1]), records.values())
        return [_lock_of(data, what) for data, (_, what) in zip(blobs, records.values(), strict=True)]


def _lock_of(record: bytes, what: str) -> str:
    try:
        found = json.loads(record)
    except ValueError:
        found = None
    lock = found.get("dvc_lock") if isinstance(found, dict) else None
    if not isinstance(lock, str):
        raise RegistryError(f"{what}: expected the release's dvc.lock in it, found none; nothing was removed")
    return lock
