"""Training documents become a byte-level BPE tokenizer, or the base brings its own; held-out documents have no part.

GPT-2's pre-tokenizer regex (https://github.com/openai/gpt-2/blob/master/src/encoder.py), because llama.cpp and
vLLM know it by name. Bytes are the alphabet, so every text has tokens and comes back as it was.
"""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.merges import learned
from tasks.big_data.mix import numbers, scrambled
from tasks.big_data.sides import held_out_ids
from tasks.params import Params
from tasks.params import Tokenizer as TokenizerParams
from tasks.progress import Progress
from tasks.report import Report, read_json, sha256_of

END_OF_TEXT = "<|endoftext|>"
TOKENIZER_FILE = "tokenizer.json"
_MB = 1_000_000
_SALT = 0x2545F4914F6CDD1D
# Of what chance gives, so that a sample does not fall short.
_AMPLE = 1.5


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write `tokenizer.json`, trained on the documents that `pack` will train on, or the one of the base.

    Raises:
        StepError: there are too few documents to hold one out.
    """
    source, discover = settings.artifacts / "validate", settings.artifacts / "discover"
    kept_back = held_out_ids(settings, source)
    base = read_json(discover / "base.json")
    if base:
        shutil.copyfile(discover / "base" / TOKENIZER_FILE, out / TOKENIZER_FILE)
        tokenizer, sampled = Tokenizer.from_file(str(out / TOKENIZER_FILE)), 0
    else:
        progress = settings.runs / "progress" / "tokenizer.json"
        shards = documents.read_index(source)
        with Progress("tokenizer", total=len(shards), unit="shards", file=progress) as shown:
            texts = sample(source, kept_back, params.tokenizer.sample_mb * _MB, shown)
        sampled = sum(len(text.encode()) for text in texts)
        tokenizer = train(texts, params.tokenizer)
        tokenizer.save(str(out / TOKENIZER_FILE), pretty=False)
    size = tokenizer.get_vocab_size()
    facts = {
        "vocab_size": size,
        "sample_bytes": sampled,
        "vocab_size_asked_for": params.tokenizer.vocab_size,
        "held_out_documents": len(kept_back),
        "sha256": sha256_of(out / TOKENIZER_FILE),
        "base": base.get("ref"),
    }
    summary = f"{size:,} tokens{', those of ' + base['ref'] if base else ''}"
    return Report(step="tokenizer", summary=summary, facts=facts)


def train(texts: Iterable[str], tokenizer: TokenizerParams) -> Tokenizer:
    """Tokenizer of at most `vocab_size` tokens; `<|endoftext|>` is token 0, the 256 bytes come next."""
    texts = list(texts)
    model = learned(texts, tokenizer.vocab_size, tokenizer.min_frequency, END_OF_TEXT)
    made = Tokenizer(model or models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    made.decoder = decoders.ByteLevel()
    if model is not None:
        made.add_special_tokens([END_OF_TEXT])
        return made
    trainer = trainers.BpeTrainer(
        vocab_size=tokenizer.vocab_size,
        min_frequency=tokenizer.min_frequency,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(iter(texts), trainer)
    return made


def sample(source: Path, kept_back: frozenset[str], size: int, shown: Progress) -> list[str]:
    """Training documents of at most `size` bytes in all: all of them, or those whose id has the lowest hash."""
    shards = documents.read_index(source)
    total = sum(shard.bytes for shard in shards)
    if total <= size:
        rows = (documents.read_shard(source, shard.name, ["id", "text"]) for shard in shown.over(shards))
        return [text for frame in rows for id_, text in frame.iter_rows() if id_ not in kept_back]
    out = pl.Series(sorted(kept_back), dtype=pl.String).implode()
    share = _AMPLE * size / total
    while True:
        limit = int(min(share, 1) * (2**64 - 1))
        found = [_low(documents.read_shard(source, shard.name, ["id", "text"]), limit) for shard in shown.over(shards)]
        lowest = pl.concat(found).filter(~pl.col("id").is_in(out)).sort("mark", "text")
        if share >= 1 or lowest["text"].str.len_bytes().sum() >= size:
            return list(cut(lowest["text"], size))
        share *= 4


def _low(frame: pl.DataFrame, limit: int) -> pl.DataFrame:
    """Rows whose id has a hash up to the limit, and the hash."""
    marks = scrambled(numbers(frame["id"]), _SALT, 0)
    low = frame.with_columns(mark=pl.Series(marks)).filter(pl.col("mark") <= limit)
    # Copies: views of a few texts would keep all of the shard in memory.
    return pl.DataFrame(low.to_dict(as_series=False) | {"mark": low["mark"]}, schema=low.schema)


def cut(texts: Iterable[str], size: int) -> Iterator[str]:
    """Texts until there are so many bytes, the last one cut to fit."""
    for text in texts:
        data = text.encode()
        yield text if len(data) <= size else data[:size].decode(errors="ignore")
        size -= len(data)
        if size <= 0:
            return
