"""The registry: contiguous versions under crashes and races, and no changed byte goes unseen."""

import json
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from infra.releases import Registry, RegistryError, champion
from infra.settings import Settings
from infra.signed_log import Alias, Entry, Key, canonical, read_log
from infra.storage import LocalStore
from tasks.distribution import registry as writing
from tasks.distribution.catalogue import list_releases, show_release
from tasks.distribution.pull import pull
from tasks.distribution.verify import verify

NAME = "novels"


def root_of(settings):
    return Path(settings.registry)


def entry_paths(settings):
    return sorted((root_of(settings) / "models" / NAME / "log").iterdir())


# Hand-worked: what a log looks like.


def test_the_log_of_a_first_release_by_hand(settings, publisher):
    publisher.release("one")
    entries = [json.loads(path.read_bytes()) for path in entry_paths(settings)]
    assert [path.name for path in entry_paths(settings)] == [
        "00000000.json",
        "00000001.json",
        "00000002.json",
    ]
    assert [entry["body"]["kind"] for entry in entries] == ["key", "release", "alias"]
    assert entries[0]["previous"] == ""
    sha256sum = subprocess.run(["sha256sum", entry_paths(settings)[1]], capture_output=True, text=True, check=True)
    assert entries[2]["previous"] == sha256sum.stdout.split()[0]
    assert entries[1]["body"]["version"] == 1
    files = entries[1]["body"]["files"]
    assert sorted(files) == ["config.json", "model.safetensors", "pictures/curve.png"]
    weights = root_of(settings) / "blobs" / "sha256" / files["model.safetensors"]["sha256"]
    assert weights.read_text() == "weights one"


def test_canonical_json_has_one_form():
    assert canonical({"b": 1.5, "a": ["ä", None]}) == b'{"a":["\\u00e4",null],"b":1.5}'


# Versions and aliases.


def test_versions_count_up_and_the_same_identity_is_the_same_release(publisher):
    assert [publisher.release(text)[0].version for text in ("one", "two")] == [1, 2]
    again, new = publisher.release("one")
    assert (again.version, new) == (1, False)
    assert publisher.release("three")[0].version == 3


def test_refs_name_a_version_or_an_alias(settings, publisher):
    publisher.release("one")
    publisher.release("two")
    registry = Registry.of(settings)
    assert registry.release(f"{NAME}@v1")[1].version == 1
    assert registry.release(f"{NAME}@candidate")[1].version == 2
    with pytest.raises(RegistryError, match=r"novels has v1, v2, candidate"):
        registry.release(f"{NAME}@v3")
    with pytest.raises(RegistryError, match=r"no model poems.*there are: novels"):
        registry.release("poems@v1")
    for wrong in (NAME, f"{NAME}@", f"{NAME}@v0", "../novels@v1", "@v1"):
        with pytest.raises(RegistryError, match="NAME@vN or NAME@ALIAS"):
            registry.release(wrong)


def test_an_alias_moves_only_from_where_it_is_believed_to_point(settings, publisher):
    publisher.release("one")
    publisher.release("two")
    registry, key = Registry.of(settings), writing.signing_key(settings.keys)
    assert writing.set_alias(registry, key, NAME, "champion", 1, expected=None)
    assert not writing.set_alias(registry, key, NAME, "champion", 1, expected=None)
    with pytest.raises(RegistryError, match="points to v1, expected no release"):
        writing.set_alias(registry, key, NAME, "champion", 2, expected=None)
    assert writing.set_alias(registry, key, NAME, "champion", 2, expected=1)
    assert registry.log(NAME).aliases == {"candidate": 2, "champion": 2}


def test_the_champion_is_described_by_digests(settings, publisher):
    assert champion(settings, NAME) == {}
    release, _ = publisher.release("one")
    assert champion(settings, NAME) == {}
    writing.set_alias(Registry.of(settings), writing.signing_key(settings.keys), NAME, "champion", 1, expected=None)
    found = champion(settings, NAME)
    assert (found["name"], found["version"], found["bits_per_byte"]) == (NAME, 1, 2.0)
    assert found["weights_sha256"] == release.summary.weights_sha256
    assert found["files"]["config.json"]["sha256"] == release.files["config.json"].sha256
    assert found["release"] == read_log(NAME, {p.name: p.read_bytes() for p in entry_paths(settings)}).digests[1]
    assert json.loads(json.dumps(found)) == found


def test_reading_an_empty_registry_makes_nothing(settings):
    registry = Registry.of(settings)
    assert registry.models() == []
    assert registry.log(NAME).entries == ()
    assert verify(settings).problems == ()
    assert not settings.state.exists()


# The key.


def test_the_key_is_made_once_and_is_its_owners(settings):
    first = writing.signing_key(settings.keys)
    assert writing.public_half(first) == writing.public_half(writing.signing_key(settings.keys))
    assert stat.S_IMODE((settings.keys / "registry.pem").stat().st_mode) == 0o600
    assert [path.name for path in settings.keys.iterdir()] == ["registry.pem"]


def test_a_key_that_others_can_read_is_refused(settings):
    writing.signing_key(settings.keys)
    (settings.keys / "registry.pem").chmod(0o644)
    with pytest.raises(RegistryError, match="chmod 600"):
        writing.signing_key(settings.keys)


def test_another_key_may_not_append(settings, publisher):
    publisher.release("one")
    shutil.rmtree(settings.keys)
    with pytest.raises(RegistryError, match="ABCD_KEYS"):
        publisher.release("two")
    assert len(Registry.of(settings).log(NAME).releases) == 1


# Tampering: one changed byte anywhere is refused by name.


def flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_every_byte_of_every_entry_counts(settings, publisher):
    """All positions, for a reader who has seen nothing before: the log speaks for itself."""
    publisher.release("one")
    files = {path.name: path.read_bytes() for path in entry_paths(settings)}
    assert read_log(NAME, files).problems == ()
    for name, data in files.items():
        for position in range(len(data)):
            changed = bytearray(data)
            changed[position] ^= 1
            log = read_log(NAME, {**files, name: bytes(changed)})
            assert log.problems, f"{name} byte {position}"
            assert name in log.problems[0]
        for longer in (data + b"\n", b" " + data, data[:-1], b""):
            assert name in read_log(NAME, {**files, name: longer}).problems[0]


def test_a_changed_entry_is_refused_by_every_reader(settings, publisher, tmp_path):
    publisher.release("one")
    for path in entry_paths(settings):
        data = path.read_bytes()
        flip(path, len(data) // 2)
        for refused in (
            lambda: champion(settings, NAME),
            lambda: pull(settings, f"{NAME}@v1", tmp_path / "to"),
            lambda: publisher.release("two"),
        ):
            with pytest.raises(RegistryError, match=path.name):
                refused()
        assert any(path.name in problem for problem in verify(settings).problems)
        path.write_bytes(data)
    assert verify(settings).problems == ()


def test_a_changed_blob_is_refused_by_name(settings, publisher, tmp_path):
    release, _ = publisher.release("one")
    named = {**release.files, "record.json": release.record}
    for path, file in named.items():
        blob = root_of(settings) / file.blob
        data = blob.read_bytes()
        for damage in (lambda b: flip(b, 0), lambda b: b.write_bytes(b"longer"), lambda b: b.unlink()):
            damage(blob)
            problems = verify(settings, NAME).problems
            assert len(problems) == 1
            assert path in problems[0]
            assert file.sha256 in problems[0]
            if path != "record.json":
                with pytest.raises(RegistryError, match=path):
                    pull(settings, f"{NAME}@v1", tmp_path / "to")
                assert not list(tmp_path.glob("*to*"))
            blob.write_bytes(data)
    assert verify(settings).problems == ()


def refusals(settings, to):
    """What each reader of the second release says; None where it read nothing that is wrong."""
    said = {}
    for reader, read in {
        "log": lambda: Registry.of(settings).log(NAME),
        "list": lambda: list_releases(settings),
        "show": lambda: show_release(settings, f"{NAME}@v2"),
        "pull": lambda: pull(settings, f"{NAME}@v2", to),
        "verify": lambda: verify(settings).problems,
    }.items():
        try:
            problems = read()
            said[reader] = "; ".join(problems) if reader == "verify" and problems else None
        except RegistryError as error:
            said[reader] = str(error)
        shutil.rmtree(to, ignore_errors=True)
    return said


def test_one_byte_in_every_file_of_the_registry_is_refused_by_name_by_whoever_reads_it(settings, publisher, tmp_path):
    publisher.release("one")
    second, _ = publisher.release("two")
    root = root_of(settings)
    store = Registry.of(settings).store
    entries = {name for name in (file.name for file in store.files()) if name.startswith("models/")}
    blobs = {name for name in (file.name for file in store.files()) if name.startswith("blobs/")}
    assert (len(entries), len(blobs)) == (5, 7)  # config.json is the same in both releases
    assert {file.name for file in store.files()} - entries - blobs == {"probe"}  # nothing reads what it says
    assert refusals(settings, tmp_path / "to") == dict.fromkeys(("log", "list", "show", "pull", "verify"))
    readers = {file.blob: {"pull"} for file in second.files.values()} | {second.record.blob: {"show"}}
    for name in sorted(entries | blobs):
        data = (root / name).read_bytes()
        for position in {0, len(data) // 2, len(data) - 1}:
            flip(root / name, position)
            said = refusals(settings, tmp_path / "to")
            expected = (
                {"log", "list", "show", "pull", "verify"} if name in entries else {"verify", *readers.get(name, ())}
            )
            assert {reader for reader, words in said.items() if words} == expected, (name, position, said)
            assert all(name in words for words in said.values() if words), (name, position, said)
            (root / name).write_bytes(data)
    assert refusals(settings, tmp_path / "to") == dict.fromkeys(("log", "list", "show", "pull", "verify"))


def test_a_blob_that_no_release_names_must_be_what_its_name_says(settings, publisher):
    publisher.release("one")
    writing.put_bytes(Registry.of(settings), b"left by a killed publish")
    assert verify(settings).problems == ()
    stray = root_of(settings) / "blobs" / "sha256" / ("0" * 64)
    stray.write_bytes(b"x")
    assert [stray.name in problem for problem in verify(settings).problems] == [True]


def test_a_damaged_blob_is_healed_by_whoever_has_the_right_bytes(settings, publisher, caplog):
    release, _ = publisher.release("one")
    flip(root_of(settings) / release.files["config.json"].blob, 0)
    publisher.release("two")  # its config.json is the same
    assert "stored anew" in caplog.text
    assert verify(settings).problems == ()


def fresh_reader(settings):
    """The same registry for someone who has seen nothing before."""
    return Registry(Registry.of(settings).store, settings.state / "other-reader")


def test_a_removed_entry_is_missed(settings, publisher):
    publisher.release("one")
    publisher.release("two")
    for path in entry_paths(settings)[:-1]:
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(RegistryError, match=f"{path.name}: missing"):
            fresh_reader(settings).log(NAME)
        path.write_bytes(data)


def test_a_log_cut_short_is_seen_by_who_saw_it_longer(settings, publisher):
    publisher.release("one")
    publisher.release("two")
    paths = entry_paths(settings)
    fresh_reader(settings).log(NAME)  # and the publisher itself has seen what it wrote
    paths[-1].unlink()
    for reader in (Registry.of(settings), fresh_reader(settings)):
        with pytest.raises(RegistryError, match=f"{paths[-1].name}: was seen here before and is gone"):
            reader.log(NAME)
    shutil.rmtree(root_of(settings) / "models" / NAME)
    with pytest.raises(RegistryError, match=f"{paths[-1].name}: was seen here before and is gone"):
        champion(settings, NAME)
    assert any("is gone" in problem for problem in verify(settings).problems)


def test_swapped_entries_are_refused(settings, publisher):
    publisher.release("one")
    one, two = entry_paths(settings)[1:3]
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    with pytest.raises(RegistryError, match=r"00000001.json: holds entry 2 of novels"):
        fresh_reader(settings).log(NAME)
    problems = Registry.of(settings).examine(NAME).problems
    assert [two.name in problem for problem in problems] == [False, True]


def test_an_entry_of_another_model_is_refused(settings, publisher):
    publisher.release("one")
    publisher.release("one", name="poems")
    ours = entry_paths(settings)[0]
    shutil.copyfile(root_of(settings) / "models" / "poems" / "log" / ours.name, ours)
    with pytest.raises(RegistryError, match="holds entry 0 of poems"):
        fresh_reader(settings).log(NAME)


def test_a_history_rewritten_with_the_right_key_is_seen_by_who_saw_the_other(settings, publisher):
    publisher.release("one")
    shutil.rmtree(root_of(settings))
    publisher_elsewhere = type(publisher)(settings)
    publisher_elsewhere.release("two", registry=fresh_reader(settings))
    with pytest.raises(RegistryError, match="is another entry than was seen here before"):
        Registry.of(settings).log(NAME)


def test_a_log_signed_with_another_key_is_refused_by_who_saw_the_first(settings, publisher):
    publisher.release("one")
    shutil.rmtree(root_of(settings))
    shutil.rmtree(settings.keys)
    publisher.release("one", registry=fresh_reader(settings))
    with pytest.raises(RegistryError, match=r"00000000.json: names another key"):
        Registry.of(settings).log(NAME)


def test_files_that_belong_to_no_log_are_named(settings, publisher):
    publisher.release("one")
    (entry_paths(settings)[0].parent / "note.txt").write_text("x")
    with pytest.raises(RegistryError, match=r"note\.txt"):
        Registry.of(settings).log(NAME)


def signed(settings, log, body):
    key = writing.signing_key(settings.keys)
    entry = Entry(name=NAME, sequence=len(log.entries), previous=log.digests[-1], at="", nonce="", body=body)
    return entry.signed(key)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (Key(public="0" * 64), "no other, must name the key"),
        (Alias(alias="champion", version=2, expected=None), "which does not exist"),
        (Alias(alias="candidate", version=1, expected=None), "but it pointed to 1"),
    ],
)
def test_a_signed_entry_that_contradicts_the_log_is_refused(settings, publisher, body, problem):
    publisher.release("one")
    log = Registry.of(settings).log(NAME)
    entry = signed(settings, log, body)
    Registry.of(settings).store.put_if_absent(f"models/{NAME}/log/00000003.json", entry.encoded())
    with pytest.raises(RegistryError, match=f"00000003.json: .*{problem}"):
        Registry.of(settings).log(NAME)


def test_a_version_left_out_is_refused(settings, publisher):
    release, _ = publisher.release("one")
    log = Registry.of(settings).log(NAME)
    entry = signed(settings, log, release.model_copy(update={"version": 3}))
    Registry.of(settings).store.put_if_absent(f"models/{NAME}/log/00000003.json", entry.encoded())
    with pytest.raises(RegistryError, match="releases version 3, expected 2"):
        Registry.of(settings).log(NAME)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "a\\b"])
def test_a_release_cannot_name_files_outside_its_folder(publisher, path):
    release, _ = publisher.release("one")
    with pytest.raises(ValueError, match="relative path"):
        type(release).model_validate({**release.model_dump(), "files": {path: release.files["config.json"]}})


# Crashes: killed after every operation of the store, then done again.


class Killed(BaseException):
    """As SIGKILL: no handler of ours may turn it into something else."""


class Dying(LocalStore):
    """Does `operations` writes or reads in all, and then nothing more; `late` dies after the last instead."""

    def __init__(self, root, operations, *, late):
        super().__init__(root)
        self.left, self.late = operations, late

    def _step(self, act, *arguments, **named):
        if self.left == 0 and not self.late:
            raise Killed
        done = act(*arguments, **named)
        if self.left == 0:
            raise Killed
        self.left -= 1
        return done

    def read(self, name):
        return self._step(super().read, name)

    def exists(self, name):
        return self._step(super().exists, name)

    def names(self, folder):
        return self._step(super().names, folder)

    def put_if_absent(self, name, data):
        return self._step(super().put_if_absent, name, data)

    def put(self, name, source, *, sha256):
        return self._step(super().put, name, source, sha256=sha256)

    def probe(self):
        """The race of threads is not what is killed here."""


@pytest.mark.parametrize("late", [False, True])
def test_publishing_killed_at_any_operation_and_done_again_is_one_release(tmp_path, publisher, late):
    survived = False
    for operations in range(200):
        settings = Settings(workspace=tmp_path / f"w{operations}")
        mine = type(publisher)(settings)
        registry = Registry(Dying(root_of(settings), operations, late=late), settings.state / "seen" / "dying")
        try:
            mine.release("one", registry=registry)
            survived = True
        except Killed:
            pass
        mine.release("one")
        log = Registry.of(settings).log(NAME)
        assert [release.version for release in log.releases] == [1]
        assert log.aliases == {"candidate": 1}
        assert mine.release("two")[0].version == 2
        assert verify(settings).problems == ()
        if survived:
            break
    assert survived
    assert operations > 20
