"""What gigatoken learns is, byte for byte, the tokenizer that `tokenizers` trains, or is not used."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.big_data import merges
from tasks.big_data import tokenizer as tokenizer_module
from tasks.big_data.merges import learned
from tasks.big_data.tokenizer import END_OF_TEXT, train
from tasks.params import Tokenizer as TokenizerParams

pytest.importorskip("gigatoken")

LETTERS = st.sampled_from(["ab", "a ", "a= \n", "abc 12", "\u00e9a \u00fc", "=-", "\x00a", END_OF_TEXT])
TEXTS = st.lists(LETTERS.flatmap(lambda letters: st.text(letters, max_size=80)), min_size=1, max_size=8)


@pytest.fixture(autouse=True)
def _any_size(monkeypatch):
    monkeypatch.setattr(merges, "BYTES_A_TOKEN", 0)


@given(TEXTS, st.sampled_from([257, 258, 262, 270, 300, 400]), st.sampled_from([1, 2, 3, 10]))
def test_any_texts_give_the_same_tokenizer(texts, vocab_size, min_frequency):
    params = TokenizerParams(vocab_size=vocab_size, min_frequency=min_frequency)
    with pytest.MonkeyPatch.context() as patch:
        found = train(texts, params).to_str()
        patch.setattr(tokenizer_module, "learned", lambda *_: None)
        assert found == train(texts, params).to_str()


def test_it_is_used_where_the_rarest_merge_is_frequent_enough():
    texts = ["lower lowest", "slower lowest"]
    # "low" is there four times; what is merged after "lowest" twice at most.
    assert learned(texts, 259, 4, END_OF_TEXT) is not None
    assert learned(texts, 259, 5, END_OF_TEXT) is None
    assert learned(texts, 300, 2, END_OF_TEXT) is None


def test_it_is_not_used_where_it_would_take_longer_or_knows_other_letters(monkeypatch):
    assert learned(["low lower " * 9], 259, 2, END_OF_TEXT) is not None
    assert learned(["low lower " * 9 + "\u088f"], 259, 2, END_OF_TEXT) is None
    assert learned([], 259, 2, END_OF_TEXT) is None
    monkeypatch.setattr(merges, "BYTES_A_TOKEN", 1)
    assert learned(["low lower " * 9], 259, 2, END_OF_TEXT) is None
    monkeypatch.setitem(sys.modules, "gigatoken.gigatoken_rs", None)
    monkeypatch.setattr(merges, "BYTES_A_TOKEN", 0)
    assert learned(["low lower " * 9], 259, 2, END_OF_TEXT) is None


def test_it_says_nothing(capfd):
    assert learned(["low lower " * 9], 259, 2, END_OF_TEXT) is not None
    sys.stdout.write("again\n")
    said = capfd.readouterr()
    assert (said.out, said.err) == ("again\n", "")
