"""Byte-level BPE: every text comes back as it was, same texts same bytes, held-out text has no part in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from tasks.big_data.documents import document_id
from tasks.big_data.tokenizer import END_OF_TEXT, sample, train
from tasks.params import Tokenizer as TokenizerParams
from tasks.progress import Progress

WORDS = ["low", "lower", "lowest", "new", "newer", "newest", "wide", "wider", "größer", "größte", "数据", "模型", "🙂"]
TEXTS = [" ".join(WORDS[(n * k) % len(WORDS)] for k in range(1, 60)) for n in range(1, 30)]
ODD = [
    "", " ", "\n\n\t  \r\n", "a\u0301 \u200d\u200b\ufeff",
    "👩\u200d👩\u200d👧 🏳️\u200d🌈", "\U0010ffff\ue000\ufffe", "\x00\x1b\x7f",
    "مرحبا עולם ไทย", END_OF_TEXT, f"a{END_OF_TEXT}b", "I'll we've 12345 ３", "İıſß", "x" * 5000,
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    made = train(iter(TEXTS), TokenizerParams(vocab_size=400))
    made.encode_special_tokens = True
    return made


def test_end_of_text_is_token_0_and_bytes_come_next(tokenizer):
    assert tokenizer.token_to_id(END_OF_TEXT) == 0
    assert all(len(tokenizer.id_to_token(token)) == 1 for token in range(1, 257))
    assert 257 < tokenizer.get_vocab_size() <= 400


def test_the_first_merge_is_the_most_frequent_pair():
    """Worked by hand: "aab aab aab" has (a, a) and (a, b) three times each and (space, a) twice."""
    made = train(iter(["aab aab aab"]), TokenizerParams(vocab_size=258))
    assert made.id_to_token(257) == "aa"
    assert made.encode("aab").tokens == ["aa", "b"]


def test_words_split_as_in_gpt2(tokenizer):
    pieces = tokenizer.pre_tokenizer.pre_tokenize_str("I'll go  to 10th St.\n")
    assert [piece for piece, _ in pieces] == ["I", "'ll", "Ġgo", "Ġ", "Ġto", "Ġ10", "th", "ĠSt", ".", "Ċ"]


@pytest.mark.parametrize("text", ODD)
def test_odd_unicode_comes_back(tokenizer, text):
    tokens = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(tokens, skip_special_tokens=False) == text
    assert 0 not in tokens


@given(st.text())
def test_any_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_a_tiny_corpus_has_a_smaller_vocabulary():
    assert train(iter(["ab"]), TokenizerParams(vocab_size=400)).get_vocab_size() == 257


PROGRAM = """
import hashlib, sys
from tasks.big_data.tokenizer import train
from tasks.params import Tokenizer
from tests_texts import TEXTS
print(hashlib.sha256(train(iter(TEXTS), Tokenizer(vocab_size=400)).to_str().encode()).hexdigest())
"""


def test_same_texts_give_the_same_bytes_in_any_process(tmp_path):
    (tmp_path / "tests_texts.py").write_text(f"TEXTS = {TEXTS!r}")
    found = set()
    for threads, seed in (("1", "0"), ("4", "1")):
        variables = {"RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "true", "PYTHONHASHSEED": seed}
        paths = os.pathsep.join(map(str, (Path.cwd(), tmp_path)))
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env={**os.environ, **variables, "PYTHONPATH": paths},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.add(done.stdout)
    assert len(found) == 1


def test_held_out_documents_have_no_part(workspace):
    texts = {f"docs/{n}": text for n, text in enumerate(TEXTS)}
    workspace.put("validate", texts)
    report = workspace.run("tokenizer")
    before = workspace.bytes_of("tokenizer")
    kept_back = workspace.held_out()
    assert report.facts["held_out_documents"] == len(kept_back) >= 1
    workspace.put(
        "validate", {uri: "zzz qqq" if document_id(uri) in kept_back else text for uri, text in texts.items()}
    )
    workspace.run("tokenizer")
    assert workspace.bytes_of("tokenizer") == before


def test_a_large_corpus_is_sampled_by_hash_and_a_small_one_used_whole(workspace):
    texts = {f"docs/{n}": f"{n} " + text * 20 for n, text in enumerate(TEXTS)}
    workspace.put("validate", texts)
    ids = {document_id(uri): text for uri, text in texts.items()}
    kept_back = frozenset(list(ids)[:3])
    everything = sum(len(text.encode()) for text in texts.values())

    def drawn(size: int) -> list[str]:
        with Progress("tokenizer", total=1, unit="shards") as shown:
            return sample(workspace.out("validate"), kept_back, size, shown)

    assert set(drawn(everything)) == {text for id_, text in ids.items() if id_ not in kept_back}
    some = drawn(everything // 3)
    assert sum(len(text.encode()) for text in some) in range(everything // 3 - 3, everything // 3 + 1)
    assert set(some[:-1]) < set(texts.values()) - {ids[id_] for id_ in kept_back}
    # A larger sample begins with the smaller one.
    assert drawn(everything // 2)[: len(some) - 1] == some[:-1]


def test_one_document_larger_than_the_sample_is_cut(workspace):
    workspace.put("validate", {f"docs/{n}": "größer " * 1000 for n in range(6)})
    with Progress("tokenizer", total=1, unit="shards") as shown:
        [text] = sample(workspace.out("validate"), frozenset(), 100, shown)
    assert 98 <= len(text.encode()) <= 100
