"""References: whatever git, the workspace or a release names is found; what cannot be read stops everything."""

import hashlib
import json
import subprocess

import pytest

from infra.checkout import make_checkout
from infra.outputs import object_name
from infra.releases import Registry, RegistryError
from infra.settings import Settings
from infra.signed_log import canonical
from infra.storage import LocalStore
from tasks.distribution import registry as writing
from tasks.distribution.references import named_digests, object_digest, with_files
from tasks.report import StepError


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def git(folder, *arguments):
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def lock(text):
    return f"stages:\n  train:\n    outs:\n    - path: artifacts/train\n      md5: {md5(text)}.dir\n      size: 3\n"


@pytest.fixture
def clone(tmp_path):
    root = tmp_path / "clone"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "dvc.lock").write_text(lock("first"))
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return root


def commit(clone, text):
    (clone / "dvc.lock").write_text(lock(text))
    git(clone, "commit", "-qam", text)


def named(clone, logs=()):
    settings = Settings(workspace=clone)
    return named_digests(settings, Registry.of(settings), logs)


def test_the_workspace_and_every_ref_count(clone):
    git(clone, "branch", "old")
    commit(clone, "tagged")
    git(clone, "tag", "light")
    commit(clone, "annotated")
    git(clone, "tag", "-a", "heavy", "-m", "x")
    git(clone, "tag", "-a", "of-a-tag", "-m", "x", "heavy")
    git(clone, "tag", "of-a-file", f"{git(clone, 'rev-parse', 'HEAD:dvc.lock')}")
    for text in ("stashed first", "stashed last"):
        (clone / "dvc.lock").write_text(lock(text))
        git(clone, "stash", "-q")
    (clone / "new.dvc").write_text(f"outs:\n- md5: {md5('stashed untracked')}\n")
    git(clone, "stash", "-q", "-u")
    commit(clone, "main")
    git(clone, "worktree", "add", "-q", "--detach", str(clone.parent / "other"))
    commit(clone.parent / "other", "detached elsewhere")
    (clone / "dvc.lock").write_text(lock("index"))
    git(clone, "add", ".")
    (clone / "dvc.lock").write_text(lock("now"))
    (clone / "data").mkdir()
    (clone / "data" / "big.csv.dvc").write_text(f"outs:\n- md5: '{md5('added by hand')}'\n  path: big.csv\n")
    folders = ["first", "tagged", "annotated", "stashed first", "stashed last", "main", "detached elsewhere", "index"]
    files = {md5("stashed untracked"), md5("added by hand")}
    assert named(clone) == files | {f"{md5(text)}.dir" for text in [*folders, "now"]}


def test_what_no_ref_names_any_more_is_not_named(clone):
    commit(clone, "second")
    git(clone, "reset", "-q", "--hard", "HEAD~1")
    assert named(clone) == {f"{md5('first')}.dir"}


def test_refs_of_runs_count_for_their_time_only(clone, monkeypatch):
    before = git(clone, "rev-parse", "HEAD")
    commit(clone, "of a run")
    git(clone, "update-ref", "refs/abcd/runs/one", "HEAD")
    git(clone, "reset", "-q", "--hard", before)
    assert f"{md5('of a run')}.dir" in named(clone)
    monkeypatch.setenv("ABCD_KEEP_RUNS_DAYS", "0")
    monkeypatch.setattr("time.time", lambda: 4e9)
    assert f"{md5('of a run')}.dir" not in named(clone)
    assert f"{md5('first')}.dir" in named(clone)


def test_a_lock_in_a_checkout_counts(clone):
    own = make_checkout(Settings(workspace=clone), "one")
    (own.workspace / "dvc.lock").write_text(lock("made there"))
    assert f"{md5('made there')}.dir" in named(clone)


def test_before_the_first_commit_the_workspace_counts(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "dvc.lock").write_text(lock("now"))
    assert named(tmp_path) == {f"{md5('now')}.dir"}


def test_a_lock_in_the_middle_of_a_merge_names_both_sides(clone):
    (clone / "dvc.lock").write_text(f"<<<<<<< ours\n{lock('ours')}=======\n{lock('theirs')}>>>>>>> theirs\n")
    assert named(clone) >= {f"{md5(text)}.dir" for text in ("ours", "theirs")}


def test_digests_of_other_kinds_are_none(clone):
    (clone / "dvc.lock").write_text(f"a: {'0' * 64}\nb: {'1' * 40}\nc: {'2' * 31}\n")
    git(clone, "commit", "-qam", "x")
    assert named(clone) == set()


def test_an_object_that_git_lacks_stops_everything(clone):
    commit(clone, "second")
    blob = git(clone, "rev-parse", "HEAD:dvc.lock")
    (clone / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(StepError, match=rf"{blob}.*nothing was removed"):
        named(clone)


def test_a_folder_that_is_no_clone_stops_everything(tmp_path):
    with pytest.raises(StepError, match="git"):
        named(tmp_path)


def release(settings, publisher, record):
    registry, key = Registry.of(settings), writing.signing_key(settings.keys)
    writing.add_release(
        registry, key, "novels", identity=hashlib.sha256(record).hexdigest(), files={},
        record=writing.put_bytes(registry, record), summary=publisher.summary("x"),
    )  # fmt: skip
    return [registry.log("novels")]


def test_a_releases_record_names_its_data(settings, publisher):
    settings.workspace.mkdir()
    git(settings.workspace, "init", "-q")
    release(settings, publisher, canonical({"dvc_lock": lock("one")}))
    logs = release(settings, publisher, canonical({"dvc_lock": lock("two")}))
    assert named(settings.workspace, logs) == {f"{md5(text)}.dir" for text in ("one", "two")}


@pytest.mark.parametrize("record", [b"{}", b"[]", b"no json", b'{"dvc_lock": null}'])
def test_a_record_without_its_lock_stops_everything(settings, publisher, record):
    settings.workspace.mkdir()
    git(settings.workspace, "init", "-q")
    logs = release(settings, publisher, record)
    with pytest.raises(RegistryError, match=r"novels@v1 record\.json: .*nothing was removed"):
        named(settings.workspace, logs)


def test_a_record_that_was_changed_stops_everything(settings, publisher):
    settings.workspace.mkdir()
    git(settings.workspace, "init", "-q")
    logs = release(settings, publisher, canonical({"dvc_lock": lock("one")}))
    (settings.workspace / ".abcd" / "registry" / logs[0].releases[0].record.blob).write_text("{}")
    with pytest.raises(RegistryError, match=r"novels@v1 record\.json"):
        named(settings.workspace, logs)


def put(root, data, *, folder=False):
    digest = hashlib.md5(data).hexdigest() + (".dir" if folder else "")
    path = root / object_name(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return digest


def test_a_folder_names_its_files_wherever_its_list_is(tmp_path):
    cache, remote = tmp_path / "cache", tmp_path / "remote"
    files = [put(cache, text) for text in (b"a", b"b")]
    listed = json.dumps([{"md5": digest, "relpath": f"f{n}"} for n, digest in enumerate(files)]).encode()
    folder = put(remote, listed, folder=True)
    stores = [LocalStore(cache), LocalStore(remote)]
    assert with_files({folder, "0" * 32}, stores) == {folder, "0" * 32, *files}
    put(cache, listed, folder=True)
    (cache / object_name(folder)).write_bytes(b"[]")
    assert with_files({folder}, stores) == {folder, *files}
    (remote / object_name(folder)).unlink()
    with pytest.raises(RegistryError, match="nothing was removed"):
        with_files({folder}, stores)
    (cache / object_name(folder)).unlink()
    assert with_files({folder}, stores) == {folder}


def test_names_of_objects_by_hand():
    digest = "0123456789abcdef0123456789abcdef"
    assert object_name(digest) == "files/md5/01/23456789abcdef0123456789abcdef"
    for name in (digest, f"{digest}.dir"):
        assert object_digest(object_name(name)) == name
    for name in ("files/md5/01/23", f"runs/{digest}", f"{object_name(digest)}.tmp", object_name(digest).upper()):
        assert object_digest(name) is None
