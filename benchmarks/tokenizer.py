"""How much text a tokenizer has to see, and how fast texts become tokens.

`python -m benchmarks.tokenizer FILE... --json OUT`: compressed JSON lines with a column `text`. Trains on samples of
several sizes of all documents but every tenth, and prints bytes a token on those; then the speed of gigatoken and
`tokenizers`.
"""

import argparse
import gzip
import hashlib
import json
import time
from pathlib import Path

import polars as pl

from tasks.big_data.encoder import Encoder
from tasks.big_data.tokenizer import cut, train
from tasks.params import Tokenizer

SAMPLES_MB, VOCABULARIES = (1, 4, 8, 16, 32, 64), (2048, 32_768)
_MB = 1_000_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    held_out, trained = read(given.files)
    figures: list[dict[str, float]] = []
    print("| vocabulary | sample MB | CPU s | bytes a token |\n|---|---|---|---|")
    for vocabulary in VOCABULARIES:
        for sample in SAMPLES_MB:
            texts = list(cut(trained, sample * _MB))
            started = time.process_time()
            tokenizer = train(iter(texts), Tokenizer(vocab_size=vocabulary)).to_str().encode()
            seconds = time.process_time() - started
            size = int(held_out.str.len_bytes().sum())
            per_token = size / int(Encoder.checked(tokenizer).encode(held_out).counts.sum() - len(held_out))
            print(f"| {vocabulary} | {sample} | {seconds:.1f} | {per_token:.4f} |", flush=True)
            figures.append(
                {"vocabulary": vocabulary, "sample_mb": sample, "cpu_seconds": seconds, "bytes_per_token": per_token}
            )
        for is_fast in (True, False):
            encoder = Encoder(tokenizer, may_be_fast=is_fast)
            started = time.process_time()
            encoder.encode(held_out)
            speed = size / _MB / (time.process_time() - started)
            print(f"{'gigatoken' if is_fast else 'tokenizers'}: {speed:.1f} MB of text a CPU second", flush=True)
            figures.append({"vocabulary": vocabulary, "is_fast": is_fast, "mb_per_cpu_second": speed})
    given.json.write_text(json.dumps(figures, indent=1))


def read(files: list[Path]) -> tuple[pl.Series, list[str]]:
    """Every tenth text by its hash, and the others in the order of theirs."""
    texts = []
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    texts.sort(key=lambda text: hashlib.sha256(text.encode()).digest())
    return pl.Series(texts[::10]), [text for number, text in enumerate(texts) if number % 10]


if __name__ == "__main__":
    main()
