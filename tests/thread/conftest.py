"""One clone, one small corpus, one Prefect server: what the tests of the whole thread share."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows import server
from infra.settings import Settings
from tasks import params
from tests.conftest import Clone, make_clone
from tests.screens import Screen, open_screen

# Small enough for seconds of training, large enough for every part to have work.
SMALL = {
    "blueprint.sequence_length": 64,
    "blueprint.width": 64,
    "blueprint.n_layers": 2,
    "blueprint.n_heads": 2,
    "blueprint.dense_ffn_width": 128,
    "blueprint.expert_ffn_width": 64,
    "blueprint.n_experts": 4,
    "tokenizer.vocab_size": 512,
    "train.tokens": 131_072,
    "train.batch_tokens": 1024,
    "evaluate.sample_tokens": 16,
    "gate.resamples": 500,
}
SETS = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]


class Watch(threading.Thread):
    """Looks at this test's process tree while it runs: who listens where, who is connected to whom."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.root = psutil.Process(pid)
        self.addresses: set[str] = set()
        self.processes = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.4):
            try:
                tree = [self.root, *self.root.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self.processes = max(self.processes, len(tree))
            for process in tree:
                try:
                    connections = process.net_connections("inet")
                except psutil.Error:
                    continue
                for connection in connections:
                    self.addresses |= {address.ip for address in (connection.laddr, connection.raddr) if address}


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return make_clone(tmp_path_factory.mktemp("clone") / "abcd")


@pytest.fixture(scope="session")
def small_clone(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Clone:
    """A clone whose committed params.yaml is that of a run of seconds: what a platform serves."""
    clone = make_clone(tmp_path_factory.mktemp("small") / "abcd")
    params.override(clone.root / params.PARAMS_FILE, [*SMALL.items(), ("discover.sources", [str(corpus)])])
    clone.run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qam", "small")
    return clone


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server that outlives runs, as in a company."""
    settings = Settings(prefect_home=tmp_path_factory.mktemp("prefect"))
    before = dict(os.environ)
    server.configure(settings, quiet=True)
    with server.prefect_server(settings) as url:
        yield url
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def first_run(clone: Clone, corpus: Path, prefect_url: str) -> tuple[str, Watch]:
    """`abcd run` on the small corpus in a fresh clone: what it said, and who talked to whom meanwhile."""
    process = clone.start("abcd", "run", "--source", str(corpus), *SETS, PREFECT_API_URL=prefect_url)
    watch = Watch(process.pid)
    watch.start()
    said, _ = process.communicate()
    watch.done.set()
    watch.join()
    assert process.returncode == 0, said
    return said, watch


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Screen]:
    """A browser for the tests of a file, in which nobody has signed in yet."""
    with open_screen(tmp_path_factory.mktemp("screenshots")) as screen:
        yield screen
