"""Publishers that race for one registry, as processes on a folder and on S3; a reader that one of them overtakes."""

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from infra.releases import Registry, RegistryError
from infra.settings import Settings
from infra.signed_log import Alias
from tasks.distribution.verify import verify

NAME = "novels"

PUBLISH = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import NAME, Publisher
from infra.releases import Registry
from infra.settings import Settings
from tasks.distribution.registry import advance_alias, signing_key
workspace, state, registry = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
settings = Settings(workspace=workspace, state=state, registry=registry, keys="keys")
publisher, opened, key = Publisher(settings), Registry.of(settings), signing_key(settings.keys)
for text in sys.argv[5:]:
    version = publisher.release(text)[0].version
    advance_alias(opened, key, NAME, "champion", version)
    print(version)
"""


def race(settings, texts_of):
    """Processes that publish at the same time; the versions that each was told."""
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                PUBLISH,
                Path(__file__).parent,
                settings.workspace,
                f"state-{n}",
                settings.registry,
                *texts,
            ],
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n, texts in enumerate(texts_of)
    ]
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(texts_of)
    return [[int(version) for version in output.split()] for output in outputs]


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.long)])
def shared(request, tmp_path):
    """Settings of a registry that many processes publish to, in a folder and in a bucket."""
    registry = "registry" if request.param == "folder" else request.getfixturevalue("s3_url")
    return Settings(workspace=tmp_path, registry=registry, keys="keys")


@pytest.mark.thread
def test_eight_processes_that_publish_five_releases_each_get_contiguous_versions(shared):
    """Not even the first key is made twice, and no alias moves back."""
    told = race(shared, [[f"{n}-{k}" for k in range(5)] for n in range(8)])
    assert sorted(itertools.chain(*told)) == list(range(1, 41))
    assert all(versions == sorted(versions) for versions in told)
    log = Registry.of(shared).log(NAME)
    assert [release.version for release in log.releases] == list(range(1, 41))
    assert log.aliases == {"candidate": 40, "champion": 40}
    for alias in log.aliases:
        moves = [e.body for e in log.entries if isinstance(e.body, Alias) and e.body.alias == alias]
        assert [move.expected for move in moves] == [None, *(move.version for move in moves[:-1])]
        assert [move.version for move in moves] == sorted({move.version for move in moves})
    assert verify(shared).problems == ()


def test_processes_that_publish_the_same_make_one_release(tmp_path):
    settings = Settings(workspace=tmp_path, registry="registry", keys="keys")
    assert race(settings, [["same"]] * 4) == [[1]] * 4
    assert len(Registry.of(settings).log(NAME).releases) == 1


def test_what_another_process_sees_meanwhile_is_not_held_against_a_slower_reader(publisher, monkeypatch):
    """Publishers in one workspace: one has listed the log when the other appends to it and remembers that."""
    publisher.release("one")
    slow = Registry.of(publisher.settings)
    names = slow.store.names

    def list_then_wait(folder):
        listed = names(folder)
        publisher.release("two")
        return listed

    monkeypatch.setattr(slow.store, "names", list_then_wait)
    log = slow.examine(NAME)
    assert log.problems == ()
    assert len(log.releases) == 1
    assert len(Registry.of(publisher.settings).log(NAME).releases) == 2


def test_a_damaged_memory_of_what_was_seen_is_refused_by_name(publisher):
    publisher.release("one")
    path = Registry.of(publisher.settings).memory / f"{NAME}.json"
    whole = path.read_text()
    path.write_text(whole[:20])
    with pytest.raises(RegistryError, match=rf"{NAME}\.json.*was damaged.*restore it"):
        Registry.of(publisher.settings).log(NAME)
    path.write_text(whole)
    assert len(Registry.of(publisher.settings).log(NAME).releases) == 1
