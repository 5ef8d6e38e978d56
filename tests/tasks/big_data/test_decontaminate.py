"""What an evaluation has is not trained on: found in the middle of a text, counted and listed by file."""

import gzip
import json
import re

import fsspec
import polars as pl
import pytest

from tasks.big_data.documents import document_id
from tasks.report import StepError

AROUND = " ".join(f"word{n}" for n in range(200))


@pytest.fixture
def questions(shared_data) -> list[str]:
    with gzip.open(shared_data / "gsm8k_train.jsonl.gz", "rt") as file:
        return [json.loads(line)["question"] for line in list(file)[:60]]


def contaminated(workspace) -> list[tuple]:
    return pl.read_parquet(workspace.out("dedup") / "contaminated.parquet").rows()


def test_a_document_with_a_question_is_left_out_and_listed(workspace, shared_data, questions):
    with (shared_data / "gsm8k_train.jsonl.gz").open("rb") as file:
        workspace.file("tests/gsm8k.jsonl.gz", file.read())
    workspace.set(dedup={"evaluation_files": ["tests/*.gz"]})
    workspace.file("docs/a.txt", "Text of its own.")
    report = workspace.run("discover")
    pinned = report.facts["evaluations"]["tests/gsm8k.jsonl.gz"]
    assert pinned["ngrams"] > 100_000
    planted = {f"docs/{n}": f"{AROUND} {n}. {question.upper()} {AROUND}" for n, question in enumerate(questions[:50])}
    innocent = {f"more/{n}": f"{AROUND} {' '.join(reversed(q.split()))} {n}" for n, q in enumerate(questions[:50])}
    files = workspace.bytes_of("discover")
    workspace.put("privacy", {**planted, **innocent})
    workspace.file("artifacts/discover/evaluation.parquet", files["evaluation.parquet"])
    workspace.set(dedup={"min_jaccard": 1, "min_block_bytes": 0})
    report = workspace.run("dedup")

    assert set(workspace.texts("dedup")) == set(innocent)
    assert report.reasons == {"contaminated": 50}
    assert set(map(tuple, workspace.reasons("dedup").values())) == {("contaminated:tests/gsm8k.jsonl.gz",)}
    assert report.facts["contaminated"] == {"tests/gsm8k.jsonl.gz": 50}
    listed = {uri: ngrams for uri, file, ngrams in contaminated(workspace) if file == "tests/gsm8k.jsonl.gz"}
    words = {f"docs/{n}": len(question.replace("-", " ").split()) for n, question in enumerate(questions[:50])}
    assert listed.keys() == planted.keys()
    assert all(ngrams >= words[uri] - 20 for uri, ngrams in listed.items())


def test_evaluations_in_a_bucket_are_pinned_by_their_bytes(workspace, s3_url):
    """A later object of that name changes what is pinned at the next look, and not before."""
    system = fsspec.filesystem("s3", use_listings_cache=False)
    words = [f"w{n}" for n in range(26)]
    first, second = " ".join(words[:13]), " ".join(words[13:])
    system.pipe_file(f"{s3_url}/evals/a.jsonl.gz", gzip.compress(json.dumps({"q": first}).encode()))
    system.pipe_file(f"{s3_url}/evals/b.txt", f"Read: {second}".encode())
    system.pipe_file(f"{s3_url}/evals/c.bin", b"no evaluation")
    workspace.file("docs/a.txt", "Text of its own.")
    evaluations = [f"{s3_url}/evals/*.jsonl.gz", f"{s3_url}/evals/b.txt"]
    workspace.set(dedup={"evaluation_files": evaluations, "min_jaccard": 1, "min_block_bytes": 0})
    facts = workspace.run("discover").facts["evaluations"]
    uris = [f"{s3_url}/evals/a.jsonl.gz", f"{s3_url}/evals/b.txt"]
    assert {uri: found["ngrams"] for uri, found in facts.items()} == {uris[0]: 1, uris[1]: 2}
    texts = {"docs/first": f"{AROUND} {first}", "docs/second": f"{second} {AROUND}", "docs/free": AROUND}
    pinned = (workspace.out("discover") / "evaluation.parquet").read_bytes()
    for text, discover, gone in (
        (first, False, {"docs/first", "docs/second"}),
        (AROUND[::-1], False, {"docs/first", "docs/second"}),
        (AROUND[::-1], True, {"docs/second"}),
    ):
        system.pipe_file(uris[0], gzip.compress(json.dumps({"q": text}).encode()))
        workspace.run("discover", discover=discover)
        after = (workspace.out("discover") / "evaluation.parquet").read_bytes()
        assert (after == pinned) is (not discover)
        workspace.put("privacy", texts)
        workspace.file("artifacts/discover/evaluation.parquet", after)
        report = workspace.run("dedup")
        assert set(texts) - set(workspace.texts("dedup")) == gone
        assert report.facts["contaminated"].keys() <= set(uris)
    system.rm(uris[1])
    with pytest.raises(StepError, match=re.escape(uris[1])):
        workspace.run("discover", discover=True)


def test_twelve_words_in_common_are_no_evaluation(workspace):
    words = [f"w{n}" for n in range(13)]
    workspace.put("privacy", {"docs/13": f"a {' '.join(words)} b", "docs/12": f"a {' '.join(words[1:])} b"})
    workspace.put_evaluations({"one.jsonl": [" ".join(words)], "other.jsonl": [f"x {' '.join(words)}"]})
    workspace.run("dedup")
    assert set(workspace.texts("dedup")) == {"docs/12"}
    assert contaminated(workspace) == [("docs/13", "one.jsonl", 1), ("docs/13", "other.jsonl", 1)]


def test_a_copy_of_a_contaminated_document_may_stay_in_its_place(workspace):
    words = [f"w{n}" for n in range(13)]
    texts = {"docs/a": f"{AROUND} {' '.join(words)}", "docs/b": f"{AROUND} {' '.join(words[:10])}"}
    workspace.put("privacy", texts)
    workspace.put_evaluations({"one.jsonl": [" ".join(words)]})
    workspace.run("dedup")
    assert workspace.reasons("dedup") == {"docs/a": ["contaminated:one.jsonl"]}
    assert document_id("docs/b") not in workspace.reasons("dedup")


def test_a_text_too_short_is_counted_and_a_file_of_no_use_refused(workspace):
    workspace.file("docs/a.txt", "Text of its own.")
    workspace.file("e/one.jsonl", json.dumps({"q": AROUND, "choices": ["A", {"b": "B"}]}))
    workspace.set(dedup={"evaluation_files": ["e/one.jsonl"]})
    facts = workspace.run("discover").facts["evaluations"]["e/one.jsonl"]
    assert (facts["texts"], facts["too_short"], facts["ngrams"]) == (3, 2, 188)
    workspace.file("e/two.txt", "too few words")
    workspace.set(dedup={"evaluation_files": ["e/two.txt"]})
    with pytest.raises(StepError, match=r"13 words or more in e/two\.txt"):
        workspace.run("discover")
    workspace.file("e/three.jsonl", "{")
    workspace.set(dedup={"evaluation_files": ["e/three.jsonl"]})
    with pytest.raises(StepError, match=r"e/three.jsonl cannot be read"):
        workspace.run("discover")


def test_new_evaluations_are_a_new_question_to_the_world(workspace):
    workspace.file("docs/a.txt", "Text of its own.")
    workspace.run("discover")
    workspace.file("e/one.txt", AROUND)
    workspace.set(dedup={"evaluation_files": ["e/one.txt"]})
    assert workspace.run("discover").facts["evaluations"].keys() == {"e/one.txt"}


def test_without_pinned_evaluations_the_next_move_is_named(workspace):
    workspace.put("privacy", {"docs/a": AROUND})
    (workspace.out("discover") / "evaluation.parquet").unlink()
    with pytest.raises(StepError, match="abcd discover"):
        workspace.run("dedup")
