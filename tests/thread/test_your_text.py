"""Other people's text through the whole pipeline, as a user would type it: a release, or a refusal that helps."""

import gzip
import itertools
import json
from pathlib import Path

import pytest

from tests.conftest import Clone
from tests.thread.conftest import SETS

pytestmark = [pytest.mark.thread, pytest.mark.long]


def rows_of(source: Path, folder: Path, number: int) -> Path:
    """The first rows of a corpus, so that the test takes seconds and not minutes."""
    short = folder / source.name
    with gzip.open(source, "rt") as whole, gzip.open(short, "wt") as part:
        part.writelines(itertools.islice(whole, number))
    return short


@pytest.mark.parametrize(
    ("corpus", "column", "kind", "rows", "kept"),
    [
        ("maintnorm.jsonl.gz", "raw", "notes", 7200, 7000),
        ("statutes_de.jsonl.gz", "text", "prose", 61, 60),  # one is tables of amounts
    ],
)
def test_a_corpus_ends_in_a_release_or_a_refusal_that_helps(
    clone: Clone, prefect_url: str, shared_data: Path, tmp_path: Path, corpus: str, column: str, kind: str, rows: int,
    kept: int,
):  # fmt: skip
    source = rows_of(shared_data / corpus, tmp_path, rows)
    before = (clone.root / "params.yaml").read_text()
    try:
        said = clone.run(
            "abcd", "run", "--source", str(source), "--text-column", column, *SETS, PREFECT_API_URL=prefect_url
        )
    finally:
        (clone.root / "params.yaml").write_text(before)

    report = json.loads((clone.root / "artifacts/clean/report.json").read_text())
    [choice] = report["facts"]["presets"].values()
    assert choice.startswith(f"{kind}: median length")
    assert report["rows_out"] >= kept
    name = source.name.split(".")[0].replace("_", "-")
    [release] = json.loads(clone.run("abcd", "releases", name, "--json"))
    assert release["reference"] == f"{name}@v1"
    verdict = json.loads((clone.root / "artifacts/gate/verdict.json").read_text())
    assert release["decision"] == verdict["decision"]
    assert f"abcd sample --release {name}@v1" in said
    if verdict["decision"] == "refuse":
        assert "train.tokens" in verdict["reasons"][0] or "discover.sources" in verdict["reasons"][0]
    elif verdict["decision"] == "ask":
        assert "held-out documents are fewer" in verdict["reasons"][-1]
