"""`python -m tests.faults`: the whole fault campaign, or a part of it; exit code 1 when a fault was not survived."""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from flows import server
from infra.settings import Settings
from tests.faults import campaign, catalogue
from tests.faults.s3 import s3_server
from tests.faults.workspace import Reference


def main() -> int:
    """Prepare, inject, tell, write the table."""
    given = _arguments()
    faults = [fault for fault in catalogue.campaign(given.seed) if not given.only or given.only in fault.label]
    _say(f"{len(faults)} faults, seed {given.seed}")
    base = Path(given.base or tempfile.mkdtemp(prefix="abcd-faults-"))
    reference = Reference(base)
    started = time.monotonic()
    with _servers(base):
        if not reference.found():
            reference.prepare()
        _say(f"prepared in {base}: {time.monotonic() - started:.0f} s")
        results = campaign.run_all(faults, reference, jobs=given.jobs, told=_tell)
    campaign.write(results, Path(given.to), seed=given.seed)
    failed = [ended for ended in results if ended.result.problem]
    _say(f"\n{campaign.table(results)}")
    _say(f"{len(results)} faults in {time.monotonic() - started:.0f} s, {len(failed)} failed")
    if failed:
        _say(f"their workspaces are kept in {base}; one of them again, which takes no preparation:")
        _say(f"python -m tests.faults --seed {given.seed} --base {base} --only {failed[0].fault.label}")
        return 1
    if not given.base:
        shutil.rmtree(base)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="same seed, same faults")
    parser.add_argument("--only", default="", help="only faults whose label has this, as kill-train")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1) // 2), help="faults at a time")
    parser.add_argument("--to", default="runs/faults", help="folder of faults.md and faults.json")
    parser.add_argument(
        "--base", default="", help="folder to work in, prepared once and used again; a temporary one if not given"
    )
    return parser.parse_args()


@contextlib.contextmanager
def _servers(base: Path) -> Iterator[None]:
    """An S3 and a Prefect server for all faults."""
    base.mkdir(parents=True, exist_ok=True)
    settings = Settings(workspace=base, prefect_home=base / "prefect")
    server.configure(settings, quiet=True)
    with s3_server(base / "s3.log"), server.prefect_server(settings) as url:
        os.environ["FAULTS_PREFECT_URL"] = url
        yield


def _tell(number: int, ended: campaign.Ended) -> None:
    _say(f"{number:4} {ended.fault.label}  {ended.result.ending}  {ended.seconds:.0f} s  {ended.result.problem[:2000]}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
