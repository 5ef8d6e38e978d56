"""What tests share: an S3 server on loopback, a clone of this project with a small corpus; CI skips nothing."""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

ROOT = Path(__file__).parents[1]
# Kernels are compiled once, also for tests with an empty home.
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path.home() / ".cache" / "abcd" / "kernels"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long tests first, so that the short ones fill the other worker."""
    items.sort(key=lambda item: item.get_closest_marker("thread") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Under CI a skipped test has failed, unless it needs a GPU."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and "gpu" not in item.keywords:
        report.outcome, report.longrepr = "failed", f"skipped under CI: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real public data beside the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not on this machine")
    return folder


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command that runs in this process sets up its log; the next test must not see that."""
    loggers = [logging.getLogger(room) for room in ("flows", "tasks", "infra", "data_contracts")]
    before = [(each.level, list(each.handlers), each.propagate) for each in loggers]
    yield
    for each, (level, handlers, propagate) in zip(loggers, before, strict=True):
        each.setLevel(level)
        each.handlers[:] = handlers
        each.propagate = propagate


class Clone:
    """A git clone of the working tree, and commands run in it as a user would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("ABCD_", "PREFECT_", "DVC_", "COV_"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "200",
        }

    def command(self, *arguments: str) -> list[str]:
        """`abcd ...` from the clone's own code, `dvc ...`, or `git ...`."""
        program, *rest = arguments
        modules = {"abcd": "flows.cli", "dvc": "dvc"}
        return [sys.executable, "-m", modules[program], *rest] if program in modules else [program, *rest]

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command; its output is one stream of text."""
        return subprocess.Popen(
            self.command(*arguments), cwd=self.root, env={**self.environment, **environment}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *arguments: str, code: int = 0, **environment: str) -> str:
        """Run a command to its end; its output, checked for its exit code."""
        process = self.start(*arguments, **environment)
        output, _ = process.communicate()
        assert process.returncode == code, output
        return output


def make_clone(root: Path) -> Clone:
    """Copy what git would clone from the working tree, and commit it there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and name != "dvc.lock":
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    clone = Clone(root)
    clone.run("git", "init", "-q")
    clone.run("git", "add", ".")
    clone.run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "start")
    return clone


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 real files of this interpreter's standard library, at most 12 kB each."""
    folder = tmp_path_factory.mktemp("corpus") / "notes"
    folder.mkdir()
    library = Path(os.__file__).parent
    files = [f for f in sorted([*library.glob("*.py"), *library.glob("*/*.py")]) if 300 < f.stat().st_size < 12_000]
    for file in [f for f in files if "test" not in str(f.relative_to(library))][:150]:
        shutil.copy(file, folder / "_".join(file.relative_to(library).parts))
    return folder


@pytest.fixture(scope="session")
def s3_endpoint():
    """Address of an S3 server on loopback."""
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_url(s3_endpoint, monkeypatch, tmp_path):
    """A fresh bucket on that server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"bucket-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:16]}"
    system = fsspec.get_filesystem_class("s3")
    system.clear_instance_cache()
    system(use_listings_cache=False).mkdir(bucket)
    return f"s3://{bucket}/registry"
