"""Trained weights become a Hugging Face `deepseek_v3` directory with a model card, checked before it counts."""

import logging
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.torch import save_file

from data_contracts.pieces import HELD_OUT, TEXTS, read_index, tokens_file
from infra.settings import Settings
from tasks.algorithm.blueprint import BLUEPRINT_FILE, Blueprint, Shape
from tasks.algorithm.huggingface import hf_config, to_hf
from tasks.algorithm.model import Model, load_weights
from tasks.algorithm.shape import END_OF_TEXT
from tasks.distribution.card import gather, write_card
from tasks.distribution.parity import Parity, compare_ids, compare_logits, load_with_transformers
from tasks.params import Params
from tasks.report import Report, StepError, sha256_of, write_json

logger = logging.getLogger(__name__)

WEIGHTS_FILE, TOKENIZER_FILE = "model.safetensors", "tokenizer.json"
_END_OF_TEXT = "<|endoftext|>"
_TEXTS_COMPARED = 32


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write the directory, then load it with transformers and compare.

    Raises:
        StepError: transformers reads something else than was written.
    """
    artifacts = settings.artifacts
    shape = Blueprint.read(artifacts / "blueprint").shape
    model = load_weights(shape, artifacts / "train" / WEIGHTS_FILE).eval()
    write_model(model, shape, params, out)
    shutil.copyfile(artifacts / "tokenizer" / TOKENIZER_FILE, out / TOKENIZER_FILE)
    shutil.copyfile(artifacts / "blueprint" / BLUEPRINT_FILE, out / BLUEPRINT_FILE)
    pictures = _copy_pictures(artifacts, out)
    parity = _check(model, artifacts / "pack", out)
    difference = _power_of_ten_above(parity.largest_difference)
    logger.info("logits equal those of transformers to %g on %d held-out tokens", difference, parity.positions)
    write_card(gather(params, artifacts, pictures=pictures, largest_difference=difference), out)
    files = {path.name: path.stat().st_size for path in sorted(out.iterdir())}
    return Report(
        step="export",
        summary=f"{sum(files.values()) / 1e6:,.1f} MB as deepseek_v3; transformers computes the same to {difference:g}",
        facts={
            "architecture": "DeepseekV3ForCausalLM",
            "files": files,
            "bytes": sum(files.values()),
            "weights_sha256": sha256_of(out / WEIGHTS_FILE),
            "largest_logit_difference": difference,
            "positions_compared": parity.positions,
        },
        pictures=tuple(pictures),
    )


def write_model(model: Model, shape: Shape, params: Params, out: Path) -> None:
    """Write the weights by their Hugging Face names, and what says how to load and use them."""
    weights = {name: weight.contiguous() for name, weight in to_hf(model.state_dict(), shape).items()}
    save_file(weights, out / WEIGHTS_FILE, metadata={"format": "pt"})
    write_json(out / "config.json", hf_config(shape))
    write_json(out / "generation_config.json", _generation_config(params))
    write_json(out / "tokenizer_config.json", _tokenizer_config(shape))


def _generation_config(params: Params) -> dict[str, Any]:
    """What `generate` does unless told otherwise: as the samples of evaluate were made."""
    temperature = params.evaluate.temperature
    sampling = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), END_OF_TEXT)
    return {**ends, **sampling}


def _tokenizer_config(shape: Shape) -> dict[str, Any]:
    """Takes `tokenizer.json` as it is; nothing is put before a text or cleaned up after it."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": _END_OF_TEXT,
        "eos_token": _END_OF_TEXT,
        "pad_token": _END_OF_TEXT,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": shape.sequence_length,
    }


def _copy_pictures(artifacts: Path, out: Path) -> list[str]:
    """Pictures of train and evaluate under names that tell them apart."""
    names = []
    for step in ("train", "evaluate"):
        for picture in Report.read(artifacts / step).pictures:
            names.append(f"{step}-{picture}")
            shutil.copyfile(artifacts / step / picture, out / names[-1])
    return names


def _check(model: Model, pack: Path, out: Path) -> Parity:
    theirs, tokenizer = load_with_transformers(out)
    tokens = np.load(pack / tokens_file(HELD_OUT, HELD_OUT), mmap_mode="r")
    if not len(tokens):
        raise StepError("there are no held-out tokens to check the export with; add text to discover.sources")
    texts = pl.read_parquet(pack / TEXTS, columns=["text"], n_rows=_TEXTS_COMPARED)["text"].to_list()
    compare_ids(tokenizer, texts, _documents(tokens, pack, len(texts)))
    return compare_logits(model, theirs, tokens)


def _documents(tokens: np.ndarray, pack: Path, count: int) -> list[list[int]]:
    """Tokens of the first held-out documents, without their end tokens."""
    rows = read_index(pack, HELD_OUT, ["offset", "tokens"]).head(count)
    return [tokens[start : start + length - 1].tolist() for start, length in rows.rows()]


def _power_of_ten_above(difference: float) -> float:
    """Rounded up, so that the report is the same on machines that round differently."""
    return 0.0 if difference == 0 else float(f"1e{math.ceil(math.log10(difference))}")
