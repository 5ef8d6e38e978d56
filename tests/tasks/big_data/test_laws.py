"""The laws of the data steps, on random corpora: nothing vanishes, nothing is made up, same inputs same bytes."""

import json
import random
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_contracts.checking import check
from data_contracts.contract import DOCUMENTS, RAW, Contract
from data_contracts.tables import tables_of
from tasks.big_data import documents, layout, validate
from tasks.report import Report, StepError, step_output

STEPS = ("ingest", "clean", "privacy", "dedup")
STAGE = ("discover", *STEPS, "validate", "tokenizer", "pack", "describe")
VOCABULARY = [first + second for first in ("pump", "valve", "motor", "seal", "shaft") for second in "abcdefgh"]
WORDS = st.sampled_from(
    ["pump", "valve", "jane@corp.de", "10.1.2.30", "größer", "\x00", "\x07", "\ufffd", "-", "...", "\t", " ",
     "\r\n\r\n", "\u2028", "🙂", "e\u0301"]
)  # fmt: skip
TEXT = st.lists(WORDS, max_size=30).map(" ".join)
ROW = st.one_of(
    TEXT.map(lambda text: json.dumps({"text": text}).encode()),
    st.sampled_from(
        [b"", b"{", b"[1]", b'{"text": 1}', b'{"other": "x"}', b'{"text": "\xff"}', b'{"text": "\\ud800"}']
    ),
)
FILE = st.one_of(
    st.tuples(st.sampled_from([".txt", ".md", ".py"]), TEXT.map(str.encode)),
    st.tuples(st.just(".txt"), st.binary(max_size=60)),
    st.tuples(st.just(".jsonl"), st.lists(ROW, max_size=8).map(b"\n".join)),
)
NAMES = st.sampled_from(["a", "b", "c", "sub/a", "sub/b", "sub/deep/c"])
CORPUS = st.dictionaries(NAMES, FILE, min_size=1)


def rows_of(workspace, step: str) -> tuple[set[str], set[str]]:
    accepted = documents.read(workspace.out(step))
    rejected = documents.read_rejected(workspace.out(step))
    assert accepted["id"].n_unique() == accepted.height
    assert accepted["digest"].to_list() == [documents.digest_of(text) for text in accepted["text"]]
    assert all(reasons for reasons in rejected["reasons"].to_list())
    return set(accepted["id"]), set(rejected["id"])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(corpus=CORPUS, min_characters=st.sampled_from([1, 20, 64]))
def test_every_row_goes_on_or_is_kept_with_a_reason(make_workspace, corpus, min_characters):
    workspace = make_workspace()
    workspace.set(clean={"min_characters": min_characters})
    for name, (suffix, content) in corpus.items():
        workspace.file(f"docs/{name}{suffix}", content)
    workspace.run("discover")
    before: set[str] | None = None
    for step in STEPS:
        try:
            report = workspace.run(step)
        except StepError:  # nothing was left, and that was said
            assert not workspace.out(step).exists()
            return
        accepted, rejected = rows_of(workspace, step)
        assert report.rows_in == report.rows_out + report.rows_rejected
        assert (report.rows_out, report.rows_rejected) == (len(accepted), len(rejected))
        assert not accepted & rejected
        assert before is None or accepted | rejected == before
        before = accepted
        once = workspace.bytes_of(step)
        workspace.run(step)
        assert workspace.bytes_of(step) == once
    with step_output(workspace.root / "artifacts", "validate") as out:
        tally = validate.part_table(workspace.out("dedup"), out, Contract.read(DOCUMENTS), workspace.settings())
    accepted, rejected = rows_of(workspace, "validate")
    assert accepted | rejected == before
    assert tally.rows_in == tally.rows_out + tally.rows_rejected == len(before)


def test_the_stage_from_files_to_tokens(workspace, corpus):
    """Real files of the standard library, by the whole stage; a second run from nothing is the same bytes."""
    workspace.set(discover={"sources": [str(corpus)]}, tokenizer={"vocab_size": 600})
    workspace.run(*STAGE)
    report = Report.read(workspace.out("pack"))
    raw = Contract.read_all(RAW)
    assert check(raw, *tables_of(workspace.out("ingest"), raw)).broken == ()
    assert report.facts["held_out"]["documents"] == 30
    assert report.facts["train"]["documents"] > 100
    assert report.facts["train"]["bytes_per_token"] > 2
    before = {step: workspace.bytes_of(step) for step in STAGE}
    workspace.run(*STAGE, discover=True, cache=workspace.root / "another")
    assert {step: workspace.bytes_of(step) for step in STAGE} == before


def sentence(draw: random.Random) -> str:
    words = " ".join(draw.choices(VOCABULARY, k=10))
    return f"The {words} of the plant was seen to, and {draw.randint(1, 999)} of them are to be greased again.\n"


def page(draw: random.Random) -> str:
    """Sentences with a footer that all have, some with an address; now and then too short to be kept."""
    body = "".join(sentence(draw) for _ in range(draw.choice([1, 8, 12, 30])))
    return (
        f"{body}\n{draw.choice(['', 'Ask jane.doe@corp.de.', '-'])}\nConfidential: for the staff of the plant only.\n"
    )


def change(files: dict[str, str], draw: random.Random) -> None:
    """One night: files come, change, go, grow by a line, move; some are copies or near copies of others."""
    for _ in range(draw.randint(2, 6)):
        name = f"{draw.choice(['docs', 'more'])}/{draw.choice('abc')}/{draw.randrange(10**6)}.txt"
        files[name] = page(draw)
        if draw.random() < 0.4:
            old = files[draw.choice(sorted(each for each in files if each.endswith(".txt")))]
            files[name] = draw.choice([old, old + sentence(draw)])
    texts = sorted(each for each in files if each.endswith(".txt"))
    for name in draw.sample(texts, draw.randint(0, 4)):
        text = files.pop(name)
        if draw.random() < 0.7:
            files[draw.choice([name, name.replace(".txt", "-moved.txt")])] = text + draw.choice(["", sentence(draw)])
    files["docs/rows.jsonl"] += json.dumps({"text": page(draw)}) + "\n" + draw.choice(["", "broken\n"])


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(3))
def test_nights_with_new_changed_and_deleted_files_leave_the_bytes_of_a_run_from_nothing(
    make_workspace, monkeypatch, seed
):
    """Of every file of every step of the stage, with shards of a few documents each."""
    monkeypatch.setattr(layout, "SHARD_BYTES", 16_384)
    monkeypatch.setattr(layout, "_MEAN_BYTES", 8_192)
    draw, files = random.Random(seed), {"docs/rows.jsonl": ""}
    for _ in range(20):
        change(files, draw)

    def run(workspace) -> dict[str, bytes]:
        shutil.rmtree(workspace.root / "docs", ignore_errors=True)
        shutil.rmtree(workspace.root / "more", ignore_errors=True)
        for name, text in files.items():
            workspace.file(name, text)
        more = {"uri": "more", "weight": 2.5}
        workspace.set(discover={"sources": ["docs", more]}, tokenizer={"vocab_size": 400}, pack={"min_held_out": 5})
        workspace.run(*STAGE, discover=True)
        return {f"{step}/{name}": data for step in STAGE for name, data in workspace.bytes_of(step).items()}

    kept = make_workspace()
    run(kept)
    assert len(documents.read_index(kept.out("ingest"))) > 10
    for _ in range(4):
        change(files, draw)
        after, fresh = run(kept), run(make_workspace())
        assert [name for name in sorted(after.keys() | fresh.keys()) if after.get(name) != fresh.get(name)] == []
    reasons = json.loads(after["dedup/report.json"])["reasons"]
    assert {"duplicate_of", "near_duplicate_of"} <= reasons.keys()
    assert json.loads(after["clean/report.json"])["facts"]["boilerplate_lines"]


@pytest.mark.parametrize("step", ["ingest", "clean", "privacy", "dedup", "validate", "tokenizer", "pack", "describe"])
def test_a_step_without_its_input_says_what_to_run(workspace, step):
    with pytest.raises(StepError, match="dvc repro"):
        workspace.run(step)
