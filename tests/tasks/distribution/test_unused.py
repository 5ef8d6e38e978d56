"""Unused: of a random tree of objects exactly those go that nothing names; what cannot be told stays."""

import hashlib
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.outputs import object_name
from infra.releases import Registry, RegistryError
from infra.settings import Settings
from infra.signed_log import Summary, canonical
from infra.storage import open_store
from tasks.distribution import registry as writing
from tasks.distribution.pull import pull
from tasks.distribution.unused import unused
from tasks.distribution.verify import verify
from tasks.report import sha256_of, write_json

NAME = "novels"
DAYS_AGO = time.time() - 3 * 86_400


def git(folder, *arguments):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@pytest.fixture
def settings(tmp_path):
    made = Settings(workspace=tmp_path / "workspace")
    made.workspace.mkdir()
    git(made.workspace, "init", "-q", "-b", "main")
    return made


def put(root, data, suffix=""):
    digest = hashlib.md5(data).hexdigest() + suffix
    path = root / object_name(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (DAYS_AGO, DAYS_AGO))
    return digest


def put_folder(root, texts):
    files = [put(root, text.encode()) for text in texts]
    listed = [{"md5": digest, "relpath": f"f{n}"} for n, digest in enumerate(files)]
    return put(root, json.dumps(listed).encode(), ".dir"), files


def summary_of(text):
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Summary(weights_sha256=digest, tokenizer_sha256=digest, held_out_sha256=digest, decision="ask")


def release(settings, text, lock):
    """A release that names `lock`'s objects and has blobs of its own."""
    registry, key = Registry.of(settings), writing.signing_key(settings.keys)
    settings.state.mkdir(parents=True, exist_ok=True)
    source = settings.state / "weights"
    source.write_text(text)
    published, _ = writing.add_release(
        registry, key, NAME, identity=hashlib.sha256(text.encode()).hexdigest(),
        files={"model.safetensors": writing.put_file(registry, source)},
        record=writing.put_bytes(registry, canonical({"dvc_lock": lock, "text": text})),
        summary=summary_of(text),
    )  # fmt: skip
    return published


def found(settings, *, remote=False):
    listed = {}
    for one in unused(settings, remote=remote, now=time.time()):
        names = listed.setdefault((one.kind, one.store.root), [])
        names += [file.name for file in one.files]
    return {kind: names for (kind, _), names in listed.items() if names}


NAMERS = ("workspace", "branch", "tag", "stash", "release")
# Of each folder: who names it, and which of a few texts are its files; texts are shared between folders.
FOLDERS = st.lists(
    st.tuples(st.frozensets(st.sampled_from(NAMERS)), st.frozensets(st.sampled_from("abcdefgh"), min_size=1)),
    min_size=1, max_size=8,
)  # fmt: skip


@given(folders=FOLDERS)
@hypothesis_settings(max_examples=6, deadline=None)
def test_exactly_what_nothing_names_is_unused(folders):
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(workspace=Path(folder))
        git(settings.workspace, "init", "-q", "-b", "main")
        cache, remote = settings.dvc_cache, Path(settings.remote)
        made = [(namers, *put_folder(cache, texts)) for namers, texts in folders]
        assert made == [(namers, *put_folder(remote, texts)) for namers, texts in folders]
        lock = settings.workspace / "dvc.lock"
        lock.write_text("start")
        git(settings.workspace, "add", ".")
        git(settings.workspace, "commit", "-qm", "start")
        locks = {
            namer: "".join(f"md5: {digest}\n" for namers, digest, _ in made if namer in namers) for namer in NAMERS
        }
        for namer, keep in (("branch", ("branch", "kept")), ("tag", ("tag", "kept-too"))):
            lock.write_text(locks[namer])
            git(settings.workspace, "commit", "--allow-empty", "-qam", namer)
            git(settings.workspace, *keep)
            git(settings.workspace, "reset", "-q", "--hard", "HEAD~1")
        lock.write_text(f"stash {locks['stash']}")
        git(settings.workspace, "stash", "-q")
        lock.write_text(locks["workspace"])
        release(settings, "one", locks["release"])
        needed = {one for namers, digest, files in made if namers for one in (digest, *files)}
        there = {one for _, digest, files in made for one in (digest, *files)}
        expected = sorted(map(object_name, there - needed))
        listed = found(settings, remote=True)
        assert listed.get("objects in the DVC cache", []) == expected
        assert listed.get("objects in the DVC remote", []) == expected
        assert set(listed) <= {"objects in the DVC cache", "objects in the DVC remote"}


def run_of(settings, key, digests):
    outs = "".join(f"- path: artifacts/x{n}\n  hash: md5\n  md5: {one}\n" for n, one in enumerate(digests))
    name = f"runs/{key[:2]}/{key}/{'1' * 64}"
    path = settings.dvc_cache / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"cmd: x\ndeps:\n- path: a\n  hash: md5\n  md5: {'e' * 32}\nouts:\n{outs}")
    return name


def test_a_remembered_run_goes_with_its_outputs(settings):
    kept, lost = put(settings.dvc_cache, b"kept"), put(settings.dvc_cache, b"lost")
    (settings.workspace / "dvc.lock").write_text(f"md5: {kept}\n")
    run_of(settings, "a" * 64, [kept])
    gone = [run_of(settings, "b" * 64, [lost]), run_of(settings, "c" * 64, [kept, lost])]
    (settings.dvc_cache / "runs" / "aa" / ("a" * 64) / "notes").write_text("not ours")
    assert found(settings) == {
        "runs that DVC remembers": gone,
        "objects in the DVC cache": [object_name(lost)],
    }


def test_a_shared_cache_is_left_alone(settings, tmp_path):
    shared = Settings(workspace=settings.workspace, dvc_cache=tmp_path / "shared")
    put(shared.dvc_cache, b"of another workspace")
    assert found(shared) == {}
    assert [one.left_alone for one in unused(shared, remote=False, now=0.0) if "DVC_CACHE" in one.left_alone]


def test_the_remote_is_looked_at_only_when_asked_and_keeps_what_is_young(settings):
    remote = Path(settings.remote)
    old, young = put(remote, b"old"), put(remote, b"young")
    os.utime(remote / object_name(young))
    (remote / "files" / "notes.txt").write_text("not ours")
    assert found(settings) == {}
    assert found(settings, remote=True) == {"objects in the DVC remote": [object_name(old)]}


def test_a_young_list_in_the_remote_keeps_its_old_files(settings):
    """DVC does not push a file that is there already; the publisher will name it in a moment."""
    remote = Path(settings.remote)
    folder, files = put_folder(remote, ["a", "b"])
    assert len(found(settings, remote=True)["objects in the DVC remote"]) == 3
    os.utime(remote / object_name(folder))
    assert found(settings, remote=True) == {}
    assert len(files) == 2


@pytest.fixture(params=["folder", "s3"])
def place(request, settings):
    """The same on both kinds of registry and remote."""
    if request.param == "folder":
        return settings
    url = request.getfixturevalue("s3_url")
    return Settings(workspace=settings.workspace, registry=url, remote=f"{url}-remote")


def test_blobs_of_no_release_go_after_a_day(place, tmp_path):
    release(place, "one", "")
    registry = Registry.of(place)
    stray = writing.put_bytes(registry, b"left by a publish that was killed")
    registry.store.put_if_absent("blobs/README", b"not ours")
    assert found(place) == {}
    later = [one for one in unused(place, remote=False, now=time.time() + 100_000) if one.files]
    assert [file.name for one in later for file in one.files] == [stray.blob]
    later[0].remove()
    assert not registry.store.exists(stray.blob)
    pull(place, f"{NAME}@v1", tmp_path / "to")
    assert verify(place, NAME).problems == ()


def test_a_blob_that_is_named_while_it_is_removed_is_put_back(place):
    release(place, "one", "")
    registry = Registry.of(place)
    weights = writing.put_bytes(registry, b"two")
    planned = [one for one in unused(place, remote=False, now=time.time() + 100_000) if one.files]
    assert [file.name for one in planned for file in one.files] == [weights.blob]
    release(place, "two", "")  # finds the blob and names it
    planned[0].remove()
    assert verify(place).problems == ()
    assert not (place.state / "gc").exists()


def test_what_a_killed_gc_had_set_aside_is_put_back_by_the_next(settings):
    blob = release(settings, "one", "").files["model.safetensors"].blob
    aside = settings.state / "gc"
    aside.mkdir()
    (Path(settings.registry) / blob).rename(aside / Path(blob).name)
    (aside / ("0" * 64)).write_text("named by no release")
    assert found(settings) == {}
    assert verify(settings).problems == ()
    assert not aside.exists()


def test_a_remote_on_s3_loses_what_nothing_names(settings, s3_url):
    place = Settings(workspace=settings.workspace, remote=s3_url)
    remote = open_store(s3_url)
    digests = [hashlib.md5(text).hexdigest() for text in (b"kept", b"lost")]
    for text, digest in zip((b"kept", b"lost"), digests, strict=True):
        remote.put_if_absent(object_name(digest), text)
    (settings.workspace / "dvc.lock").write_text(f"md5: {digests[0]}\n")
    later = [one for one in unused(place, remote=True, now=time.time() + 100_000) if one.files]
    assert [(one.kind, [f.name for f in one.files]) for one in later] == [
        ("objects in the DVC remote", [object_name(digests[1])])
    ]
    later[0].remove()
    assert [file.name for file in remote.files()] == [object_name(digests[0])]


def test_a_log_that_was_changed_stops_everything(settings):
    release(settings, "one", "")
    put(settings.dvc_cache, b"lost")
    entry = Path(settings.registry) / "models" / NAME / "log" / "00000001.json"
    entry.write_bytes(entry.read_bytes().replace(b'"version":1', b'"version":2'))
    with pytest.raises(RegistryError, match=r"00000001\.json"):
        unused(settings, remote=False, now=time.time())


def test_a_registry_that_is_not_where_it_was_stops_everything(settings):
    """A disk that is not mounted looks like an empty folder."""
    release(settings, "one", "")
    Registry.of(settings).log(NAME)
    Path(settings.registry).rename(settings.workspace / "elsewhere")
    with pytest.raises(RegistryError, match="gone"):
        unused(settings, remote=False, now=time.time())


def test_measurements_of_released_and_present_weights_stay(settings):
    released = release(settings, "one", "").summary.weights_sha256
    weights = settings.artifacts / "train" / "model.safetensors"
    for digest in (released, "0" * 64):
        write_json(settings.runs / "measured" / f"{digest}.json", {})
        (settings.runs / "measured" / f"{digest}.png").write_bytes(b"png")
    assert found(settings) == {}  # no weights here: a training may be under way
    weights.parent.mkdir(parents=True)
    weights.write_text("weights")
    write_json(settings.runs / "measured" / f"{sha256_of(weights)}.json", {})
    assert found(settings) == {"measurements of trainings": [f"measured/{'0' * 64}.{kind}" for kind in ("json", "png")]}


def test_reports_and_logs_of_old_runs_go_and_their_records_stay(settings):
    for run, days in (("old", 31), ("new", 29), ("running", None)):
        for name in ("report.html", "clean.log", "notes.txt", *(["record.json"] if days else [])):
            path = settings.runs / run / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
            if days:
                os.utime(path, (time.time() - days * 86_400,) * 2)
    assert found(settings) == {"reports and logs of runs": ["old/clean.log", "old/report.html"]}


def test_bits_of_the_pinned_champion_stay(gated, monkeypatch):
    from tasks.distribution.champion import remembered_bits

    settings = gated.settings
    git(settings.workspace, "init", "-q")
    gated.release()
    kept = remembered_bits(gated.pinned, settings, settings.artifacts / "pack" / "held_out.parquet")
    kept.parent.mkdir(parents=True)
    for path in (kept, kept.with_name(f"{'0' * 64}.bits"), kept.with_name("notes.bits")):
        path.write_text("bits")
    monkeypatch.setattr("tasks.distribution.unused.unused_data.unused", lambda *a, **k: [])  # the record is a stub
    assert found(settings) == {"remembered bits of champions": [f"{'0' * 64}.bits"]}
    write_json(settings.artifacts / "discover" / "champion.json", {})
    assert kept.name in found(settings)["remembered bits of champions"]
    (settings.artifacts / "discover" / "champion.json").unlink()
    assert found(settings) == {}
