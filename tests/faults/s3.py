"""An S3 store that fails: publish, push and pull through the spoiling proxy, in front of a server on loopback."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.releases import Registry
from infra.storage import s3_filesystem
from tests.faults import small_release
from tests.faults.catalogue import Fault
from tests.faults.judge import CLEAR, SAME, Result, outputs_differ, published, registry_wrong, unclear
from tests.faults.proxy import Proxy
from tests.faults.workspace import NAME, Ran, Reference, Workspace

ENDPOINT = "AWS_ENDPOINT_URL"
_START_SECONDS = 60
# A burst longer than one request's retries makes the command fail; a short one must pass unseen.
_BURSTS = (1, 3, 40)
_REQUESTS = {"publish": 60, "push": 100, "pull": 12, "dvc-pull": 60, "release": 20}


@contextmanager
def s3_server(log: Path) -> Iterator[str]:
    """An S3 server on loopback; this process, too, finds it by `AWS_*`."""
    before = dict(os.environ)
    with log.open("w") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stdout=said, stderr=said
        )
    try:
        os.environ |= {
            ENDPOINT: _address(server, log), "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        yield os.environ[ENDPOINT]
    finally:
        server.kill()
        server.wait()
        os.environ.clear()
        os.environ.update(before)


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        for word in log.read_text().split():
            if word.startswith("http://127.0.0.1:"):
                return word
        time.sleep(0.1)
    raise AssertionError(f"no S3 server: {log.read_text()[-1000:]}")


def inject(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    """Spoil requests of one command, then judge it and the next one, which reaches the store."""
    bucket = f"bucket-{fault.label.lower()}"
    _fill(bucket, workspace, only_registry=fault.target == "release")
    workspace.place(f"s3://{bucket}")
    return {"release": _release, "pull": _pull, "dvc-pull": _dvc_pull}.get(fault.target, _publish)(
        fault, reference, workspace
    )


def _fill(bucket: str, workspace: Workspace, *, only_registry: bool) -> None:
    system, _ = s3_filesystem(f"s3://{bucket}")
    system.mkdir(bucket)
    for name in ("registry",) if only_registry else ("registry", "remote"):
        folder = workspace.settings.state / name
        if folder.is_dir():
            system.put(f"{folder}/", f"{bucket}/{name}/", recursive=True)


def _disturbed(fault: Fault, workspace: Workspace, part: str, *command: str) -> Ran:
    """Run a command through the proxy."""
    dice = fault.random
    at, times = dice.randrange(_REQUESTS[fault.target]), 1 if fault.how == "hang" else dice.choice(_BURSTS)
    with Proxy(os.environ[ENDPOINT], part=part, how=fault.how, at=at, times=times) as proxy:
        ran = workspace.run(*command, **{ENDPOINT: proxy.url})
        if not proxy.spoiled:  # fewer requests than expected: the last is as good
            with Proxy(os.environ[ENDPOINT], part=part, how=fault.how, at=0, times=times) as second:
                ran = workspace.run(*command, **{ENDPOINT: second.url})
                if not second.spoiled:
                    raise AssertionError(f"{' '.join(command)} asked the store for nothing")
    return ran


def _publish(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    part = "/remote" if fault.target == "push" else "/registry"
    return published(workspace, reference, _disturbed(fault, workspace, part, "abcd", "publish"))


def _release(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    ran = _disturbed(fault, workspace, "/registry", "release", "one")
    if problem := unclear(ran):
        return Result("failed", problem)
    workspace.must("release", "one")
    log = Registry.of(workspace.settings).log(small_release.NAME)
    problem = registry_wrong(workspace, champions={reference.champion})
    if not problem and (len(log.releases), log.aliases) != (1, {"candidate": 1, "champion": 1}):
        problem = f"{len(log.releases)} releases, aliases {log.aliases}; expected one"
    return Result("failed", problem) if problem else Result(CLEAR if ran.code else SAME)


def _pull(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    command = ("abcd", "pull", f"{NAME}@v1", "--to", "pulled")
    ran = _disturbed(fault, workspace, "/registry", *command)
    problem = unclear(ran) or ("half a release is left" if ran.code and (workspace.root / "pulled").exists() else "")
    if problem:
        return Result("failed", problem)
    workspace.must(*command)
    return Result(CLEAR if ran.code else SAME, registry_wrong(workspace, champions={1}))


def _dvc_pull(fault: Fault, reference: Reference, workspace: Workspace) -> Result:
    """What a second machine does: outputs come from the remote alone."""
    workspace.must("dvc", "push")
    shutil.rmtree(workspace.settings.artifacts)
    shutil.rmtree(workspace.settings.dvc_cache)
    ran = _disturbed(fault, workspace, "/remote", "dvc", "pull")
    if "Traceback" in ran.said:
        return Result("failed", ran.said[-3000:])
    workspace.must("dvc", "pull")
    problem = outputs_differ(workspace, reference)
    return Result("failed", problem) if problem else Result(CLEAR if ran.code else SAME)
