"""The fast library and `tokenizers` give the same ids on everything, and where they do not, the slow one is used."""

import gzip
import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers

from tasks.big_data import encoder as encoder_module
from tasks.big_data.encoder import HARD_CASES, Encoder
from tasks.big_data.tokenizer import train
from tasks.params import Tokenizer as TokenizerParams

gigatoken = pytest.importorskip("gigatoken")

SHARED = Path(__file__).parents[4] / "shared" / "data"
TEXTS = ["The quick brown fox's den, größer als 12 <|endoftext|> 数据模型", "def f(x):\n    return  x's + 1\n"] * 9
ODD = st.sampled_from([
    "<|endoftext|>", "'s", "'S", "'ll", " ", "  ", "\n", "\t", "\u00a0", "\u2003", "\u200b", "\x85", "\x1c", "\x00",
    "²", "٣", "अ", "ि", "e\u0301", "👩\u200d👩", "don't", "12", "Ⅻ", "_", "ſ", "\ufeff", "\ud7ff", "\U0010ffff",
    "\u2028", "𝟘", "\U000323b0", "\u088f", "x" * 1500,
])  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> bytes:
    return train(iter(TEXTS), TokenizerParams(vocab_size=500)).to_str().encode()


@pytest.fixture(scope="module")
def fast(tokenizer) -> Encoder:
    made = Encoder.checked(tokenizer)
    assert made.is_fast
    return made


def expected(tokenizer: bytes, texts: list[str]) -> list[list[int]]:
    theirs = Tokenizer.from_buffer(tokenizer)
    theirs.encode_special_tokens = True
    return [encoding.ids for encoding in theirs.encode_batch(texts, add_special_tokens=False)]


def found(encoder: Encoder, texts: list[str]) -> list[list[int]]:
    """Ids of each text; its end token is seen to be there, and taken away."""
    ids, counts = encoder.encode(pl.Series(texts, dtype=pl.String))
    rows = [row.tolist() for row in np.split(ids, np.cumsum(counts)[:-1])] if texts else []
    assert all(row[-1] == 0 and 0 not in row[:-1] for row in rows)
    return [row[:-1] for row in rows]


def test_hard_cases(fast, tokenizer):
    assert found(fast, list(HARD_CASES)) == expected(tokenizer, list(HARD_CASES))
    assert found(fast, []) == []


def test_odd_texts_keep_their_place_among_those_of_one_call_and_of_several(fast, tokenizer, monkeypatch):
    texts = ["plain", "<|endoftext|>", "", "a\u088f", "plain 2", "<|endoftext|>x", "\U000323b0's", "end"] * 3
    assert found(fast, texts) == expected(tokenizer, texts)
    for number in (1, 3, 8):
        monkeypatch.setattr(encoder_module, "_AT_ONCE", number)
        assert found(fast, texts) == expected(tokenizer, texts)


@given(st.lists(st.lists(st.one_of(ODD, st.text(max_size=20)), max_size=12).map("".join), min_size=1, max_size=5))
def test_any_text_has_the_same_ids(fast, tokenizer, texts):
    assert found(fast, texts) == expected(tokenizer, texts)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no {SHARED}")
@pytest.mark.parametrize("name", ["novels_en", "statutes_de", "techdoc_en_python", "techdoc_en_postgresql",
                                  "gsm8k_train", "maintnorm"])  # fmt: skip
def test_real_texts_have_the_same_ids(fast, tokenizer, name):
    texts = []
    with gzip.open(SHARED / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            text = row.get("text") or row.get("question") or row["raw"]
            if number % 11 == 0:
                texts.append((text if isinstance(text, str) else " ".join(text))[:3000])
    assert len(texts) > 2
    assert found(fast, texts) == expected(tokenizer, texts)


@pytest.mark.long
def test_words_split_the_same_at_every_code_point():
    """On each code point among letters, digits, signs and spaces; those set apart are those that differ."""
    alphabet = _alphabet()
    theirs, differ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True), set()
    for point in [*range(0x80, 0xD800), *range(0xE000, 0x110000)]:
        sign = chr(point)
        text = f"a{sign}a1{sign}1!{sign}! {sign} {sign}'s"
        split = [bytes(alphabet[letter] for letter in word) for word, _ in theirs.pre_tokenize_str(text)]
        if split != list(gigatoken.pretokenizer(text.encode())):
            differ.add(point)
    apart = encoder_module._NEW_IN_UNICODE_17
    assert differ == {point for first, last in apart for point in range(first, last + 1)}


def _alphabet() -> dict[str, int]:
    """GPT-2's letter of each byte, as its `bytes_to_unicode` makes it."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


def test_without_the_library_the_ids_are_the_same(tokenizer, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "gigatoken.gigatoken_rs", None)
    with caplog.at_level("INFO"):
        slow = Encoder.checked(tokenizer, TEXTS)
    assert not slow.is_fast
    assert "not installed" in caplog.text
    assert found(slow, [*HARD_CASES, *TEXTS]) == expected(tokenizer, [*HARD_CASES, *TEXTS])


def test_a_library_that_disagrees_on_the_runs_documents_is_not_used(tokenizer, monkeypatch, caplog):
    class Wrong:
        def __init__(self, right) -> None:
            self._right = right

        def encode_batch_padded(self, data, options, parallel):
            matrix, counts = self._right.encode_batch_padded(data, options, parallel=parallel)
            return np.where(matrix == wrong, wrong + 1, matrix), counts

    wrong = Tokenizer.from_buffer(tokenizer).encode(" return").ids[-1]
    right = encoder_module._load_fast(tokenizer, "<|endoftext|>")
    monkeypatch.setattr(encoder_module, "_load_fast", lambda *_: Wrong(right))
    assert Encoder.checked(tokenizer, ["no such word"]).is_fast
    doubted = Encoder.checked(tokenizer, TEXTS)
    assert not doubted.is_fast
    assert "not used" in caplog.text
    assert found(doubted, TEXTS) == expected(tokenizer, TEXTS)
