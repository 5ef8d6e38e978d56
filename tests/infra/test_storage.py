"""Stores: a name is taken once, whole or not at all, by one of many writers; on a folder and on S3."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra import storage
from infra.storage import Content, LocalStore, StorageError, open_store

WRITERS = 16


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path):
    """The same promises on both kinds."""
    return open_store(str(tmp_path) if request.param == "folder" else request.getfixturevalue("s3_url"))


def test_a_name_is_taken_once(store):
    assert store.put_if_absent("models/a/log/0", b"first")
    assert not store.put_if_absent("models/a/log/0", b"second")
    assert store.read("models/a/log/0") == b"first"


def test_empty_bytes_take_a_name_too(store):
    assert store.put_if_absent("a", b"")
    assert not store.put_if_absent("a", b"second")
    assert store.read("a") == b""


def test_names_are_listed_sorted_and_without_a_cache(store):
    assert store.names("models") == []
    for name in ("models/b/log/1", "models/a/log/0", "models/b/log/0"):
        store.put_if_absent(name, b"x")
    assert store.names("models") == ["a", "b"]
    assert store.names("models/b/log") == ["0", "1"]
    assert store.exists("models/b/log/1")
    assert not store.exists("models/b/log/2")


def test_files_are_listed_however_deep_with_size_and_age(store):
    assert store.files() == store.files("log") == []
    for name in ("log/a/0", "log/b", "logs", "log/a/.1"):
        store.put_if_absent(name, name.encode())
    assert [(found.name, found.size) for found in store.files("log")] == [("log/a/.1", 8), ("log/a/0", 7), ("log/b", 5)]
    assert [found.name for found in store.files()] == ["log/a/.1", "log/a/0", "log/b", "logs"]
    now = storage.time.time()
    assert not any(found.is_stale(now) for found in store.files())
    assert all(found.is_stale(now + 100_000) for found in store.files())


def test_a_missing_name_is_said(store):
    with pytest.raises(FileNotFoundError):
        store.read("nothing")


def test_files_stream_both_ways_with_their_digest(store, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "CHUNK_BYTES", 1000)
    source, data = tmp_path / "source", bytes(range(256)) * 20
    source.write_bytes(data)
    expected = Content(hashlib.sha256(data).hexdigest(), len(data))
    store.put("blobs/x", source, sha256=expected.sha256)
    assert [len(piece) for piece in store.chunks("blobs/x")] == [1000] * 5 + [120]
    assert store.content("blobs/x") == expected
    assert store.download("blobs/x", tmp_path / "copy") == expected
    assert (tmp_path / "copy").read_bytes() == data


def test_a_file_that_changed_while_it_was_read_is_not_stored(store, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"other")
    with pytest.raises(StorageError, match="changed while it was stored"):
        store.put("blobs/x", source, sha256=hashlib.sha256(b"expected").hexdigest())
    assert not store.exists("blobs/x")


def test_a_removed_name_is_free_and_its_neighbours_stay(store):
    for name in ("log/0", "log/1", "log/10"):
        store.put_if_absent(name, b"first")
    store.remove("log/1")
    assert store.names("log") == ["0", "10"]
    assert not store.exists("log/1")
    assert store.put_if_absent("log/1", b"second")


def test_removing_what_is_not_there_is_no_error(store):
    store.put_if_absent("log/0", b"first")
    for _ in range(2):
        store.remove("log/1")
        store.remove("nothing/at/all")
    assert store.read("log/0") == b"first"


def test_nothing_outside_the_root_is_removed(tmp_path):
    (tmp_path / "outside").write_bytes(b"x")
    with pytest.raises(StorageError, match="no name in a store"):
        LocalStore(tmp_path / "root").remove("../outside")
    assert (tmp_path / "outside").exists()


def test_many_names_are_read_in_order(store):
    for n in range(5):
        store.put_if_absent(f"log/{n}", str(n).encode())
    assert store.read_many([f"log/{n}" for n in (3, 0, 4)]) == [b"3", b"0", b"4"]


def test_of_many_threads_one_wins(store):
    offers = [f"writer {n}".encode() for n in range(WRITERS)]
    with ThreadPoolExecutor(WRITERS) as pool:
        won = list(pool.map(lambda offer: store.put_if_absent("race", offer), offers))
    assert won.count(True) == 1
    assert store.read("race") == offers[won.index(True)]


RACE = """
import sys, time
from infra.storage import open_store
store = open_store(sys.argv[1])
store.exists("warm")
sys.stdout.write("ready\\n"); sys.stdout.flush()
sys.stdin.readline()
won = [store.put_if_absent(f"race/{n}", sys.argv[2].encode()) for n in range(8)]
sys.stdout.write("".join("01"[w] for w in won))
"""


def test_of_many_processes_one_wins_each_name(store):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, store.root, f"writer {n}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    won = [process.communicate(timeout=60)[0] for process in processes]
    for n in range(8):
        winners = [p for p, result in enumerate(won) if result[n] == "1"]
        assert len(winners) == 1
        assert store.read(f"race/{n}") == f"writer {winners[0]}".encode()


def test_a_store_with_put_if_absent_passes_the_probe_again_and_again(store):
    store.probe()
    store.probe()


def test_a_store_that_overwrites_is_refused_by_the_probe(tmp_path):
    class Overwrites(LocalStore):
        def put_if_absent(self, name, data):
            (tmp_path / name).write_bytes(data)
            return True

    with pytest.raises(StorageError, match="lose releases"):
        Overwrites(tmp_path).probe()


def test_a_lost_answer_is_no_conflict(s3_url, monkeypatch):
    """The first PUT arrives, its answer does not; the second attempt finds the name taken, by us."""
    store = open_store(s3_url)
    real, calls = store._fs.pipe_file, []

    def deaf(key, data, **options):
        calls.append(key)
        real(key, data, **options)
        raise TimeoutError("no answer")

    monkeypatch.setattr(store._fs, "pipe_file", deaf)
    assert store.put_if_absent("a", b"ours")
    assert len(calls) == 1
    assert not store.put_if_absent("a", b"theirs")
    assert store.read("a") == b"ours"


def test_a_put_that_never_arrives_is_tried_again_and_then_said(s3_url, monkeypatch):
    store = open_store(s3_url)
    calls = []

    def dead(key, data, **options):
        calls.append(key)
        raise TimeoutError("no route")

    monkeypatch.setattr(store._fs, "pipe_file", dead)
    monkeypatch.setattr(storage.time, "sleep", lambda seconds: None)
    with pytest.raises(StorageError, match=r"a cannot be written.*AWS_ENDPOINT_URL"):
        store.put_if_absent("a", b"ours")
    assert len(calls) > 1


def test_a_missing_bucket_is_said_at_once(s3_url, tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    store = open_store("s3://no-such-bucket-here/registry")
    with pytest.raises(StorageError, match="no-such-bucket-here"):
        store.put_if_absent("a", b"x")
    with pytest.raises(StorageError, match="no-such-bucket-here"):
        store.put("a", tmp_path / "file", sha256=hashlib.sha256(b"x").hexdigest())


def test_s3_without_its_extra_names_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(StorageError, match=r"pip install -e '\.\[s3\]'"):
        open_store("s3://bucket/registry")


def test_other_kinds_of_stores_are_refused():
    with pytest.raises(StorageError, match="ftp://"):
        open_store("ftp://host/registry")


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "", "a//b", "a\\b"])
def test_names_stay_under_the_root(tmp_path, name):
    with pytest.raises(StorageError, match="no name in a store"):
        LocalStore(tmp_path / "root").put_if_absent(name, b"x")


def test_what_a_killed_writer_left_goes_after_a_day(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    store.put_if_absent("a", b"x")
    left = tmp_path / ".tmp" / "123-left"
    left.write_bytes(b"half")
    store.put_if_absent("b", b"x")
    assert left.exists()
    now = storage.time.time()
    monkeypatch.setattr(storage.time, "time", lambda: now + 100_000)
    store.put_if_absent("c", b"x")
    assert list(Path(tmp_path / ".tmp").iterdir()) == []


def test_an_upload_that_cannot_be_discarded_fails_for_its_own_cause(s3_url, tmp_path, monkeypatch):
    """After the lost answer to a commit there is no upload any more."""
    store, source = open_store(s3_url), tmp_path / "source"
    source.write_bytes(b"x")
    opened = store._fs.open

    def spoiled(*arguments, **options):
        file = opened(*arguments, **options)
        file.commit = lambda: (_ for _ in ()).throw(OSError("the answer was lost"))
        file.discard = lambda: (_ for _ in ()).throw(FileNotFoundError("NoSuchUpload"))
        return file

    monkeypatch.setattr(store._fs, "open", spoiled)
    with pytest.raises(StorageError, match="the answer was lost"):
        store.put("blobs/x", source, sha256=hashlib.sha256(b"x").hexdigest())
