"""Sources, data, checkpoints and registry on S3: the whole pipeline, and a machine that has the store alone."""

import os
import shutil
import time
from pathlib import Path

import fsspec
import pytest

from tests.conftest import Clone, make_clone
from tests.thread.conftest import SETS

pytestmark = [pytest.mark.thread, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture
def bucket(s3_url: str, corpus: Path) -> str:
    """A bucket with a company's text in it, and the settings that put all else there."""
    root = s3_url.removesuffix("/registry")
    fsspec.filesystem("s3", use_listings_cache=False).put(f"{corpus}/*", f"{root}/corpus/", recursive=True)
    return root


def places(bucket: str) -> dict[str, str]:
    return {
        "ABCD_REGISTRY": f"{bucket}/registry",
        "ABCD_REMOTE": f"{bucket}/dvc",
        "ABCD_CHECKPOINTS": f"{bucket}/checkpoints",
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
    }


def test_a_release_is_made_on_s3_and_used_on_another_machine(bucket: str, prefect_url: str, tmp_path: Path):
    clone = make_clone(tmp_path / "abcd")
    settings = {**places(bucket), "PREFECT_API_URL": prefect_url, "ABCD_CHECKPOINT_STEPS": "20"}
    store = fsspec.filesystem("s3", use_listings_cache=False)
    process = clone.start("abcd", "run", "--source", f"{bucket}/corpus", "--name", "notes", *SETS, **settings)
    while not store.glob(f"{bucket}/checkpoints/*/step-*"):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    process.kill()
    process.communicate()
    assert "continuing after step" in clone.run("dvc", "repro", **settings)
    assert "notes@v1" in clone.run("abcd", "publish", **settings)
    assert "champion" in clone.run("abcd", "promote", "notes@v1", **settings)

    # All that others need is in the bucket, and nothing of it on this disk; no checkpoint outlives its run.
    assert sorted(path.rpartition("/")[2] for path in store.ls(bucket)) == ["corpus", "dvc", "registry"]
    for folder in (".abcd/registry", ".abcd/remote", "runs/checkpoints"):
        assert not (clone.root / folder).exists(), folder

    _use_elsewhere(bucket, tmp_path)
    _restore(clone, bucket)


def _restore(clone: Clone, bucket: str) -> None:
    """Outputs that only the DVC remote has come back, and nothing is made again."""
    weights = clone.root / "artifacts" / "train" / "model.safetensors"
    before = weights.read_bytes()
    for folder in ("artifacts", ".abcd/dvc-cache"):
        shutil.rmtree(clone.root / folder)
    clone.run("dvc", "pull", "-q", **places(bucket))
    assert weights.read_bytes() == before
    assert "Running stage" not in clone.run("dvc", "repro", **places(bucket))


def _use_elsewhere(bucket: str, tmp_path: Path) -> None:
    """Pull, verify and sample on a machine with an empty home, cache and clone."""
    other = make_clone(tmp_path / "elsewhere" / "abcd")
    home = tmp_path / "elsewhere" / "home"
    home.mkdir()
    settings = {**places(bucket), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    assert "no problem" in other.run("abcd", "verify", **settings)
    said = other.run("abcd", "pull", "notes@champion", "--to", str(home / "model"), **settings)
    assert "every byte verified" in said
    assert (home / "model" / "model.safetensors").is_file()
    said = other.run("abcd", "sample", "def ", "--release", "notes@champion", "--tokens", "8", **settings)
    assert said.startswith("def ")
