"""Weights and held-out documents -> bits per byte of each document beside the yardsticks, expert load, samples."""

import io
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tokenizers import Tokenizer

from data_contracts.pieces import HELD_OUT, TEXTS, TRAIN, Stream, read_index
from infra.settings import Settings
from tasks.algorithm.blueprint import Blueprint
from tasks.compute import pictures
from tasks.compute.scorers import Scorers
from tasks.compute.yardsticks import ORDERS, TRAINING_BYTES, ByteModels, xz_bits
from tasks.params import Params
from tasks.progress import Progress
from tasks.report import Report, StepError, write_json

logger = logging.getLogger(__name__)

PICTURE_FILE = "evaluation.png"
_PROMPTS, _PROMPT_CHARACTERS = 3, 24
# At the beginning of a line, so that a title or a sentence starts; markup alone on its line does not.
_TWO_WORDS_OF_MORE = re.compile(r"^\w\S{0,19} \S{1,20} (?=\S)", re.MULTILINE)


@dataclass(frozen=True)
class HeldOut:
    """Held-out documents in the order of `pack`: their rows (id, uri, group, bytes), texts and tokens."""

    rows: pl.DataFrame
    texts: list[bytes]
    tokens: list[NDArray[np.unsignedinteger]]


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Judge the trained weights; documents, samples and a picture are written to `out`.

    Raises:
        StepError: the held-out documents and their tokens do not belong together, or there are none.
    """
    artifacts = settings.artifacts
    blueprint = Blueprint.read(artifacts / "blueprint")
    with Scorers(blueprint.shape, artifacts / "train" / "model.safetensors", settings) as scorers:
        held_out = read_held_out(artifacts / "pack")
        tokenizer = Tokenizer.from_file(str(artifacts / "tokenizer" / "tokenizer.json"))
        prompts = params.evaluate.prompts or beginnings(held_out.texts)
        encoded = [tokenizer.encode(text, add_special_tokens=False).ids for text in prompts]
        samples = scorers.start_samples(encoded, params.evaluate)
        waiting = scorers.start_scores(held_out.tokens)
        yardsticks = measure_yardsticks(artifacts, held_out.texts)
        file = settings.runs / "progress" / "evaluate.json"
        with Progress("evaluate", total=waiting.tokens, unit="tokens", file=file) as progress:
            bits, expert_load = waiting.collect(progress.update)
        texts = [tokenizer.decode(tokens, skip_special_tokens=False) for tokens in samples.collect()]
    pairs = zip(prompts, texts, strict=True)
    write_json(out / "samples.json", [{"prompt": prompt, "text": text} for prompt, text in pairs])
    documents = held_out.rows.with_columns(bits=pl.Series(bits)).with_columns(
        bits_per_byte=pl.col("bits") / pl.col("bytes")
    )
    # Through memory: polars writing to a full disk itself does not say that it is full.
    table = io.BytesIO()
    documents.write_parquet(table, compression="zstd", compression_level=3, statistics=False)
    (out / "documents.parquet").write_bytes(table.getvalue())
    return _report(documents, yardsticks, expert_load, out)


def read_held_out(pack: Path) -> HeldOut:
    """What `pack` held out.

    Raises:
        StepError: index, texts and token stream do not belong together, or nothing is held out.
    """
    index, stream = read_index(pack, HELD_OUT), Stream(pack, HELD_OUT)
    texts = pl.read_parquet(pack / TEXTS, columns=["id", "text"])
    if not len(index):
        raise StepError("no document is held out, so nothing can be judged; raise pack.held_out_share, or add sources")
    if index["id"].to_list() != texts["id"].to_list() or index["tokens"].sum() != len(stream):
        raise StepError(
            f"{pack}: expected one text and its tokens for each of {len(index)} held-out documents, found "
            f"{len(texts)} texts and {len(stream)} of {index['tokens'].sum()} tokens; run `python -m tasks pack`"
        )
    # Each document ends with the end token, which is not judged.
    places = zip(index["offset"].to_list(), index["tokens"].to_list(), strict=True)
    return HeldOut(
        rows=index.select("id", "uri", "group", "bytes"),
        texts=[text.encode() for text in texts["text"].to_list()],
        tokens=[np.asarray(stream[offset : offset + tokens - 1]) for offset, tokens in places],
    )


def beginnings(texts: Sequence[bytes]) -> tuple[str, ...]:
    """Prompts that the model should know how to go on with: two words from each of the first documents."""
    found = []
    for text in texts[:_PROMPTS]:
        line = _TWO_WORDS_OF_MORE.search(text.decode())
        found.append(line.group() if line else text.decode()[:_PROMPT_CHARACTERS])
    return tuple(dict.fromkeys(found))


def measure_yardsticks(artifacts: Path, texts: list[bytes]) -> dict[str, float]:
    """Bits per byte of other models on the held-out texts, all bytes together, by name."""
    size = sum(map(len, texts))
    bits = ByteModels(training_texts(artifacts)).bits(texts)
    measured = {f"byte_{order}gram": float(bits[order].sum()) / size for order in ORDERS}
    return measured | {"xz": sum(map(xz_bits, texts)) / size}


def training_texts(artifacts: Path) -> Iterator[bytes]:
    """UTF-8 of the documents that `train` saw, in the order of their ids, up to about `TRAINING_BYTES`."""
    trained = read_index(artifacts / "pack", TRAIN, ["id"])
    size = 0
    for bucket in sorted((artifacts / "validate").glob("part-*.parquet")):
        table = pl.read_parquet(bucket, columns=["id", "text"]).join(trained, on="id", how="semi").sort("id")
        for text in table["text"].to_list():
            if size >= TRAINING_BYTES:
                logger.info("byte n-grams learn from the first %d MiB of the training text", TRAINING_BYTES >> 20)
                return
            encoded = text.encode()
            size += len(encoded)
            yield encoded


def _report(documents: pl.DataFrame, yardsticks: dict[str, float], load: list[list[float]], out: Path) -> Report:
    size = int(documents["bytes"].sum())
    ours = float(documents["bits"].sum()) / size
    marks = {"this model": ours, "byte 3-gram": yardsticks["byte_3gram"], "byte 5-gram": yardsticks["byte_5gram"]}
    marks["xz -9"] = yardsticks["xz"]
    pictures.draw_evaluation(documents["bits_per_byte"].to_list(), marks, load, out / PICTURE_FILE)
    facts: dict[str, Any] = {"bits_per_byte": ours, **yardsticks}
    facts = {name: round(value, 6) for name, value in facts.items()}
    facts |= {"documents": len(documents), "bytes": size, "expert_load": load}
    return Report(
        step="evaluate",
        summary=", ".join(f"{name} {value:.3f}" for name, value in marks.items()) + " bits per byte",
        facts=facts,
        pictures=(PICTURE_FILE,),
    )
