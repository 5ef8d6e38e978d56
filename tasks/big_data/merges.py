"""Texts become the merges of a byte-pair tokenizer by gigatoken, where these are the ones that `tokenizers` learns.

It counts words some twenty times faster, and it tells no counts and knows no lowest one. The last merge is the rarest:
where its token is there often enough, so were all before it.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import polars as pl
from tokenizers import Tokenizer, models, pre_tokenizers

from tasks.big_data.encoder import KNOWN_TO_ONE

# Below so much text for each token gigatoken, which looks at all rare pairs for each merge, takes longer.
BYTES_A_TOKEN = 400
# No text in UTF-8 has it.
_BETWEEN = b"\xff"


def alphabet() -> dict[int, str]:
    """The letter that stands for each byte (`bytes_to_unicode` of GPT-2), in the order in which they become tokens."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + number) for number, byte in enumerate(hidden)}


def learned(texts: Sequence[str], vocab_size: int, min_frequency: int, end_of_text: str) -> models.BPE | None:
    """Vocabulary and merges of texts; None where they may be other ones than those of `tokenizers`, or take longer."""
    try:
        from gigatoken.gigatoken_rs import train_bpe
    except ImportError:
        return None
    data = _BETWEEN.join(map(str.encode, texts))
    if len(data) < BYTES_A_TOKEN * vocab_size or pl.Series(texts, dtype=pl.String).str.contains(KNOWN_TO_ONE).any():
        return None
    with _silence():
        _, pairs = train_bpe(data, vocab_size, [end_of_text], separator=_BETWEEN)
    letters = alphabet()
    merges = [(_spelt(first, letters), _spelt(second, letters)) for first, second in pairs]
    tokens = [end_of_text, *letters.values(), *(first + second for first, second in merges)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if not merges or len(vocabulary) < len(tokens):
        return None
    model = models.BPE(vocabulary, merges)
    return model if _comes(b"".join(pairs[-1]), Tokenizer(model), texts, min_frequency) else None


def _spelt(token: bytes, letters: Mapping[int, str]) -> str:
    return "".join(letters[byte] for byte in token)


def _comes(token: bytes, tokenizer: Tokenizer, texts: Sequence[str], times: int) -> bool:
    """Whether texts have a token so many times."""
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    number, found = tokenizer.get_vocab_size() - 1, 0
    for text in texts:
        if token in text.encode():
            found += tokenizer.encode(text).ids.count(number)
        if found >= times:
            return True
    return False


@contextmanager
def _silence() -> Iterator[None]:
    """Neither output nor errors: gigatoken tells what it is at, past Python."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [(stream, os.dup(stream)) for stream in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream, _ in kept:
            os.dup2(nowhere, stream)
        yield
    finally:
        for stream, was in kept:
            os.dup2(was, stream)
            os.close(was)
        os.close(nowhere)
