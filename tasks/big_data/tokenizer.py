"""Training documents become a byte-level BPE tokenizer, or the base brings its own; held-out documents have no part.

GPT-2's pre-tokenizer regex (https://github.com/openai/gpt-2/blob/master/src/encoder.py), because llama.cpp and
vLLM know it by name. Bytes are the alphabet, so every text has tokens and comes back as it was.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.sides import held_out_ids
from tasks.params import Params
from tasks.params import Tokenizer as TokenizerParams
from tasks.progress import Progress
from tasks.report import Report, read_json, sha256_of

END_OF_TEXT = "<|endoftext|>"
TOKENIZER_FILE = "tokenizer.json"


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
        tokenizer = Tokenizer.from_file(str(out / TOKENIZER_FILE))
    else:
        progress = settings.runs / "progress" / "tokenizer.json"
        shards = documents.read_index(source)
        with Progress("tokenizer", total=len(shards), unit="shards", file=progress) as shown:
            tokenizer = train(_training_texts(source, kept_back, shown), params.tokenizer)
        tokenizer.save(str(out / TOKENIZER_FILE), pretty=False)
    size = tokenizer.get_vocab_size()
    facts = {
        "vocab_size": size,
        "vocab_size_asked_for": params.tokenizer.vocab_size,
        "held_out_documents": len(kept_back),
        "sha256": sha256_of(out / TOKENIZER_FILE),
        "base": base.get("ref"),
    }
    summary = f"{size:,} tokens{', those of ' + base['ref'] if base else ''}"
    return Report(step="tokenizer", summary=summary, facts=facts)


def train(texts: Iterator[str], tokenizer: TokenizerParams) -> Tokenizer:
    """Tokenizer of at most `vocab_size` tokens; `<|endoftext|>` is token 0, the 256 bytes come next."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=tokenizer.vocab_size,
        min_frequency=tokenizer.min_frequency,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(texts, trainer)
    return made


def _training_texts(source: Path, kept_back: frozenset[str], shown: Progress) -> Iterator[str]:
    for shard in shown.over(documents.read_index(source)):
        for document_id, text in documents.read_shard(source, shard.name, ["id", "text"]).iter_rows():
            if document_id not in kept_back:
                yield text
