"""Nights of a real clone, really trained: nothing new, on from the champion, a source that is gone, drift watched."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import Clone, make_clone
from tests.thread.conftest import SETS

pytestmark = [pytest.mark.thread, pytest.mark.long, pytest.mark.timeout(1200)]
FIRST = 260


@pytest.fixture(scope="module")
def texts() -> list[Path]:
    """More files of the standard library than a first night has."""
    library = Path(os.__file__).parent
    files = [f for f in sorted([*library.glob("*.py"), *library.glob("*/*.py")]) if 300 < f.stat().st_size < 12_000]
    return [f for f in files if "test" not in str(f.relative_to(library))]


def bring(files: list[Path], sources: Path) -> None:
    sources.mkdir(exist_ok=True)
    for file in files:
        shutil.copy(file, sources / "_".join(file.parts[-2:]))


def champion(clone: Clone) -> dict:
    found: dict = json.loads(clone.run("abcd", "show", "notes@champion", "--json"))
    return found


def test_nights(tmp_path: Path, texts: list[Path], prefect_url: str):
    clone, sources = make_clone(tmp_path / "abcd"), tmp_path / "notes"
    bring(texts[:FIRST], sources)
    clone.run(
        "abcd", "run", "--source", str(sources), *SETS, "--set", "train.tokens=65536", PREFECT_API_URL=prefect_url
    )
    clone.run("abcd", "promote", "notes@v1")
    weights = clone.root / "artifacts" / "train" / "model.safetensors"
    first = weights.stat().st_mtime_ns

    said = clone.run("abcd", "nightly", PREFECT_API_URL=prefect_url)
    assert "Nothing new" in said
    assert "notes@v1, the champion, was made of exactly this" in said
    assert weights.stat().st_mtime_ns == first  # not a step of training

    sources.rename(tmp_path / "away")
    said = clone.run("abcd", "nightly", code=1, PREFECT_API_URL=prefect_url)
    assert re.search(r"error:.*notes", said)
    (tmp_path / "away").rename(sources)

    bring(texts[FIRST:], sources)
    said = clone.run("abcd", "nightly", "--start", "watch", PREFECT_API_URL=prefect_url)
    assert "Watched" in said
    assert "documents that notes@v1 has not seen" in said
    assert weights.stat().st_mtime_ns == first

    said = clone.run("abcd", "nightly", PREFECT_API_URL=prefect_url)
    assert re.search(r"loss \S+ nats a token, on from notes@v1", said)
    assert re.search(r"^(Promoted|Left to a person)", said, re.MULTILINE)
    warm = weights.read_bytes()
    assert json.loads((clone.root / "artifacts" / "gate" / "report.json").read_text())["facts"]["difference"] < -0.05

    # Forced anew from what discover pinned: the same bytes.
    clone.run("dvc", "repro", "--single-item", "--force", "train", ABCD_WORKERS="1")
    assert weights.read_bytes() == warm
    said = clone.run("abcd", "nightly", PREFECT_API_URL=prefect_url)
    assert "Nothing new" in said
