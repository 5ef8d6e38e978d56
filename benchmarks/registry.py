"""Reading a registry of a year of nightly releases: every entry's bytes, signature and chain, checked on each read.

`python -m benchmarks.registry --json FILE`. 365 releases, each with its candidate alias and every third a champion, in
a local folder and on an S3 server (moto, on loopback, in its own process). Medians of several runs; the limit beside
them is reading and hashing the same files, and for the commands a bare interpreter's start.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.table import Table

from infra.releases import Registry
from infra.settings import Settings
from infra.signed_log import Alias, Body, Entry, File, Key, Release, Summary, canonical, file_name, folder_of
from infra.storage import Store, content_of, open_store
from tasks.distribution.catalogue import list_releases, show_release

NAME = "nightly"
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
# Of a release's files only names, digests and sizes are read here; a real one has about as many.
FILES = (
    "README.md", "blueprint.json", "bits.png", "config.json", "curves.png", "gate.png", "generation_config.json",
    "model.safetensors", "tokenizer.json", "tokenizer_config.json",
)  # fmt: skip


def bodies(public: str, nights: int, record: File) -> Iterator[Body]:
    """What a year's entries say."""
    yield Key(public=public)
    champion: int | None = None
    for version in range(1, nights + 1):
        digest = hashlib.sha256(str(version).encode()).hexdigest()
        files = {name: File(sha256=hashlib.sha256(f"{version}{name}".encode()).hexdigest(), size=9) for name in FILES}
        digests = {"weights_sha256": digest, "tokenizer_sha256": digest, "held_out_sha256": digest}
        summary = Summary(**digests, parameters=10**6, active_parameters=10**5, bits_per_byte=1.5, decision="promote")
        yield Release(version=version, identity=digest, files=files, record=record, summary=summary)
        yield Alias(alias="candidate", version=version, expected=version - 1 or None)
        if version % 3 == 1:
            yield Alias(alias="champion", version=version, expected=champion)
            champion = version


def fill(store: Store, nights: int) -> None:
    """Write the log, as many publishers would have left it."""
    record = canonical({"dvc_lock": "md5: x\n" * 800, "reports": {str(n): "report" * 20 for n in range(100)}})
    content, key, previous = content_of(record), Ed25519PrivateKey.generate(), ""
    file = File(sha256=content.sha256, size=content.size)
    store.put_if_absent(file.blob, record)
    for sequence, body in enumerate(bodies(key.public_key().public_bytes_raw().hex(), nights, file)):
        at, nonce = "2026-01-01T00:00:00+00:00", f"{sequence:016x}"
        entry = Entry(name=NAME, sequence=sequence, previous=previous, at=at, nonce=nonce, body=body).signed(key)
        data = entry.encoded()
        store.put_if_absent(f"{folder_of(NAME)}/{file_name(sequence)}", data)
        previous = hashlib.sha256(data).hexdigest()


def read_and_hash(store: Store) -> None:
    """The limit: all entries read as the registry reads them, and hashed."""
    names = store.names(folder_of(NAME))
    for data in store.read_many([f"{folder_of(NAME)}/{name}" for name in names]):
        hashlib.sha256(data).hexdigest()


def first_read(settings: Settings) -> None:
    """The log, read by someone who remembers nothing."""
    shutil.rmtree(settings.state, ignore_errors=True)
    Registry.of(settings).log(NAME)


def command(*arguments: str, workspace: Path, registry: str) -> Callable[[], object]:
    """A command of a new process in a workspace."""
    environment = {**os.environ, "ABCD_WORKSPACE": str(workspace), "ABCD_REGISTRY": registry}
    return lambda: subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)


def parts(root: str, workspace: Path) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    settings = Settings(workspace=workspace, registry=root)
    newcomer = Settings(workspace=workspace, registry=root, state=Path("newcomer"))
    store, cli = open_store(root), ("-m", "flows.cli")
    return {
        "read and hash all entries (limit)": lambda: read_and_hash(store),
        "Registry.log, first read": lambda: first_read(newcomer),
        "Registry.log": lambda: Registry.of(settings).log(NAME),
        "list of releases": lambda: list_releases(settings),
        "record of one release": lambda: show_release(settings, f"{NAME}@champion"),
        "python, nothing imported (limit)": command("-c", "pass", workspace=workspace, registry=root),
        "abcd --help": command(*cli, "--help", workspace=workspace, registry=root),
        "abcd releases": command(*cli, "releases", workspace=workspace, registry=root),
        "abcd show": command(*cli, "show", f"{NAME}@champion", workspace=workspace, registry=root),
    }


def measure(act: Callable[[], object], repeats: int) -> float:
    """Median wall-clock seconds; one run before them warms up."""
    act()
    seconds = []
    for _ in range(repeats):
        started = time.monotonic()
        act()
        seconds.append(time.monotonic() - started)
    return statistics.median(seconds)


@contextmanager
def s3_server() -> Iterator[str]:
    """URL of a new bucket on an S3 server of its own process."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        os.environ |= {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.stdout.readline().strip()}",
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        from s3fs import S3FileSystem

        S3FileSystem(use_listings_cache=False).mkdir("registry")
        yield "s3://registry/registry"
        assert server.stdin is not None
        server.stdin.close()


def main() -> None:
    """Measure all parts on both kinds of store, print a table, write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registry", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="file for the raw figures")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each part; the median counts")
    parser.add_argument("--nights", type=int, default=365, help="releases in the registry")
    options = parser.parse_args()
    table, figures = Table("part", "folder s", "S3 s"), dict[str, dict[str, float]]()
    with tempfile.TemporaryDirectory() as folder, s3_server() as url:
        workspace = Path(folder) / "workspace"
        (workspace / ".git").mkdir(parents=True)
        (workspace / "dvc.yaml").write_text("{}\n")
        for kind, root in (("folder", str(workspace / "registry")), ("s3", url)):
            fill(open_store(root), options.nights)
            for name, act in parts(root, workspace).items():
                figures.setdefault(name, {})[kind] = measure(act, options.repeats)
    for name, row in figures.items():
        table.add_row(name, f"{row['folder']:.3f}", f"{row['s3']:.3f}")
    Console().print(table)
    machine = {"cpu": platform.machine(), "cores": psutil.cpu_count(), "load": os.getloadavg()[0]}
    options.json.write_text(
        json.dumps({"machine": machine, "nights": options.nights, "parts": figures}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
