"""What S3 costs: the whole pipeline with sources, data, checkpoints and registry in a bucket, beside folders.

`python -m benchmarks.s3 --json FILE [--source FOLDER] [--set section.key=value ...] [--repeats N]`. Both run `abcd run`
in a fresh clone each time, in turns, on the same files, with the same parameters; the store is moto's S3 server on
loopback in a process of its own, so its CPU is paid on the same machine. Counts: medians of wall-clock seconds.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("port", server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@contextmanager
def s3_server() -> Iterator[str]:
    """Address of an S3 server on loopback."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert server.stdout is not None
    try:
        yield f"http://127.0.0.1:{next(line for line in server.stdout if line.startswith('port ')).split()[1]}"
    finally:
        server.communicate()


def run(folder: Path, source: str, sets: list[str], environment: dict[str, str]) -> float:
    """Wall-clock seconds of `abcd run` in a fresh clone."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    options = [part for each in sets for part in ("--set", each)]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "run", "--source", source, "--name", "s3", *options],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"abcd run ended with code {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.monotonic() - started


def compare(scratch: Path, corpus: Path, sets: list[str], repeats: int) -> dict[str, list[float]]:
    """Seconds of each run, in folders and on S3, in turns."""
    import fsspec

    seconds: dict[str, list[float]] = {"folders": [], "s3": []}
    with s3_server() as endpoint:
        aws = {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}
        os.environ.update(aws)
        store = fsspec.filesystem("s3", use_listings_cache=False)
        for number in range(repeats):
            bucket = f"bench-{number}"
            store.mkdir(bucket)
            store.put(f"{corpus}/*", f"{bucket}/corpus/", recursive=True)
            places = {f"ABCD_{name.upper()}": f"s3://{bucket}/{name}" for name in ("registry", "remote", "checkpoints")}
            seconds["folders"].append(run(scratch / f"local-{number}", str(corpus), sets, {}))
            seconds["s3"].append(run(scratch / f"s3-{number}", f"s3://{bucket}/corpus", sets, places))
    return seconds


def stdlib_copy(folder: Path) -> Path:
    """The library sources of this interpreter without tests and packages, as files of a company would lie there."""
    skipped = shutil.ignore_patterns("test*", "site-packages", "idlelib", "lib2to3", "__pycache__", "*.so", "config-*")
    return Path(shutil.copytree(sysconfig.get_path("stdlib"), folder / "corpus", ignore=skipped))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--source", type=Path, help="folder of documents; this interpreter's library if not given")
    parser.add_argument("--set", action="append", default=[], dest="sets", help="a parameter, as `abcd run --set`")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        corpus = given.source.resolve() if given.source else stdlib_copy(Path(scratch))
        seconds = compare(Path(scratch), corpus, given.sets, given.repeats)
    medians = {place: statistics.median(values) for place, values in seconds.items()}
    ratio = medians["s3"] / medians["folders"]
    machine = {"cpu": platform.machine(), "cores": psutil.cpu_count(), "python": platform.python_version()}
    figures = {"machine": machine, "seconds": seconds, "medians": medians, "ratio": ratio}
    given.json.write_text(json.dumps(figures, indent=2))
    table = Table("place", "seconds, median", "of folders", box=None)
    for place, value in medians.items():
        table.add_row(place, f"{value:.1f}", f"{value / medians['folders']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
