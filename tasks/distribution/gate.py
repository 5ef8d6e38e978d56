"""A candidate's bits per held-out document and the champion's on the same documents become a verdict with reasons.

The champion is evaluated by the same code as the candidate was. Whatever the verdict, the step ends well: a refused
release is stored, not promoted.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from infra.settings import Settings
from infra.storage import StorageError
from tasks.distribution.advice import training_of
from tasks.distribution.bootstrap import DECIMALS, Interval, paired_interval
from tasks.distribution.gate_picture import draw_groups, draw_yardsticks
from tasks.distribution.group_differences import group_differences
from tasks.distribution.verdict import Candidate, Champion, Verdict, judge_against, judge_first, judge_same
from tasks.params import Params
from tasks.report import Report, StepError, read_json, sha256_of, write_json

logger = logging.getLogger(__name__)

VERDICT_FILE, PICTURE_FILE = "verdict.json", "gate.png"
_YARDSTICKS = {"byte_3gram": "byte 3-gram", "byte_5gram": "byte 5-gram", "xz": "xz -9"}


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write `verdict.json` and `gate.png`.

    Raises:
        StepError: the pinned champion cannot be read, or is another model's.
    """
    artifacts = settings.artifacts
    documents = pl.read_parquet(artifacts / "evaluate" / "documents.parquet")
    candidate = Candidate(
        weights_sha256=sha256_of(artifacts / "train" / "model.safetensors"),
        bits_per_byte=_bits_per_byte(documents["bits"].to_numpy(), documents),
        documents=documents.height,
        groups=documents["group"].n_unique(),
    )
    pinned = read_json(artifacts / "discover" / "champion.json")
    if pinned:
        verdict = _against(pinned, candidate, documents, params, settings, out / PICTURE_FILE)
    else:
        verdict = _first(candidate, params, artifacts, out / PICTURE_FILE)
    write_json(out / VERDICT_FILE, verdict.model_dump(mode="json"))
    for reason in verdict.reasons:
        logger.info("%s: %s", verdict.decision, reason)
    return Report(
        step="gate",
        summary=f"{verdict.decision}: {verdict.reasons[0]}",
        facts=verdict.model_dump(mode="json"),
        pictures=(PICTURE_FILE,),
    )


def _first(candidate: Candidate, params: Params, artifacts: Path, picture: Path) -> Verdict:
    facts = Report.read(artifacts / "evaluate").facts
    train = Report.read(artifacts / "pack").facts["train"]
    training = training_of(params.train.tokens, train)
    figures = {label: facts[name] for name, label in _YARDSTICKS.items() if facts.get(name) is not None}
    draw_yardsticks(picture, {"this model": candidate.bits_per_byte, **figures})
    return judge_first(candidate, params.gate, byte_3gram=facts["byte_3gram"], training=training)


def _against(
    pinned: dict[str, Any],
    candidate: Candidate,
    documents: pl.DataFrame,
    params: Params,
    settings: Settings,
    picture: Path,
) -> Verdict:
    champion = Champion.model_validate(pinned)
    if champion.name != params.model_name:
        raise StepError(
            f"the pinned champion is of {champion.name}, this model is {params.model_name}, and only releases of one "
            "name are compared; type `abcd discover` to look for its own champion"
        )
    same = champion.weights_sha256 == candidate.weights_sha256
    held_out = settings.artifacts / "pack" / "held_out.parquet"
    mine = documents["bits"].to_numpy()
    theirs = mine if same else _champion_bits(pinned, settings, held_out, documents)
    interval = _interval(documents, mine, theirs, params)
    groups = group_differences(documents, theirs, params.gate)
    margin, confidence = params.gate.margin_bits_per_byte, params.gate.confidence
    draw_groups(picture, groups, interval, margin=margin, confidence=confidence)
    if same:
        return judge_same(candidate, champion, params.gate)
    return judge_against(
        candidate,
        champion,
        params.gate,
        champion_bits_per_byte=_bits_per_byte(theirs, documents),
        interval=interval,
        differences=groups,
        same_held_out=champion.held_out_sha256 == sha256_of(held_out),
    )


def _champion_bits(pinned: dict[str, Any], settings: Settings, held_out: Path, documents: pl.DataFrame) -> np.ndarray:
    """Bits of the champion for each row of `documents`."""
    # Here, because most runs need no torch: there is no champion yet, or it is the candidate.
    from tasks.distribution.champion import champion_bits

    try:
        bits = champion_bits(pinned, settings, held_out)
    except StorageError as error:
        raise StepError(f"the champion cannot be read: {error}") from error
    ids = documents.select("id").with_row_index("row").join(bits, on="id", how="left").sort("row")
    if ids["bits"].null_count():
        raise StepError("evaluate judged documents that pack did not hold out; type `dvc repro` to make both anew")
    return ids["bits"].to_numpy()


def _bits_per_byte(bits: np.ndarray, documents: pl.DataFrame) -> float:
    return round(float(bits.sum() / documents["bytes"].to_numpy().sum()), DECIMALS)


def _interval(documents: pl.DataFrame, mine: np.ndarray, theirs: np.ndarray, params: Params) -> Interval:
    gate = params.gate
    return paired_interval(
        candidate_bits=mine,
        champion_bits=theirs,
        size_bytes=documents["bytes"].to_numpy(),
        groups=documents["group"].to_numpy(),
        resamples=gate.resamples,
        confidence=gate.confidence,
        seed=gate.seed,
    )
