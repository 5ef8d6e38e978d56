"""Documents that the champion has not seen, held against the champion's own record: has the world moved on?

Also leaves what a later night needs and a release takes with it: a profile of these documents, fingerprints of those
that were read and of those that are trained on.
"""

import logging
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from data_contracts.pieces import HELD_OUT, TRAIN, read_index
from infra.settings import Settings
from infra.storage import StorageError
from tasks.compute.past import Baseline, Past, champion_bits_per_byte, read_past
from tasks.compute.profile import Profile, length_distance, text_divergence
from tasks.fingerprints import fingerprints, write_fingerprints
from tasks.params import Drift, Params
from tasks.report import Report, StepError, read_json, write_json

logger = logging.getLogger(__name__)

PROFILE_FILE, KNOWN_FILE, TRAINED_FILE = "profile.json", "known.npy", "trained.npy"
# Enough for a profile; ids are hashes, so the first documents are as good as any.
_PROFILE_BYTES = 64 * 2**20
_DECIMALS = 6


class Measure(BaseModel):
    """One way in which new documents may differ; over the limit when now is more than `limit` above the champion's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    now: float
    champion: float
    limit: float

    @property
    def is_exceeded(self) -> bool:
        """Whether it is shown as drift."""
        return self.now - self.champion > self.limit


def run(params: Params, settings: Settings, out: Path) -> Report:
    """Write `profile.json`, `known.npy`, `trained.npy`, and say how far new documents are from the old ones.

    Raises:
        StepError: the champion's record cannot be read.
    """
    artifacts = settings.artifacts
    read = pl.read_parquet(artifacts / "ingest" / "part-*.parquet", columns=["id", "digest"]).sort("id")
    good = pl.read_parquet(artifacts / "validate" / "part-*.parquet", columns=["id", "digest"]).sort("id")
    trained, held_out = (
        good.join(read_index(artifacts / "pack", split, ["id"]), on="id", how="semi") for split in (TRAIN, HELD_OUT)
    )
    write_json(out / PROFILE_FILE, _baseline(artifacts, read, good, trained, held_out).model_dump(mode="json"))
    write_fingerprints(out / KNOWN_FILE, read["digest"])
    write_fingerprints(out / TRAINED_FILE, [*trained["id"], *trained["digest"]])
    pinned = read_json(artifacts / "discover" / "champion.json")
    if not pinned:
        return Report(step="drift", summary="no champion yet to hold new documents against", facts=_facts({}, 0, ""))
    try:
        past = read_past(pinned, settings)
        if past is None:
            summary = f"{pinned['name']}@v{pinned['version']} has no profile of its documents; the next release will"
            return Report(step="drift", summary=summary, facts=_facts({}, 0, ""))
        return _compare(past, read, good, params.drift, settings)
    except StorageError as error:
        raise StepError(f"the champion's record cannot be read: {error}") from error


def _baseline(
    artifacts: Path, read: pl.DataFrame, good: pl.DataFrame, trained: pl.DataFrame, held_out: pl.DataFrame
) -> Baseline:
    """What a later night holds its documents against; held-out ones against the others say what is chance."""
    theirs, mine = (Profile.of(_texts(artifacts, set(part["id"]))) for part in (trained, held_out))
    return Baseline(
        profile=theirs + mine,
        rejected_share=round(1 - good.height / max(read.height, 1), _DECIMALS),
        text_divergence=round(text_divergence(theirs, mine), _DECIMALS),
        length_distance=round(length_distance(theirs, mine), _DECIMALS),
    )


def _texts(artifacts: Path, ids: Collection[str]) -> Iterator[bytes]:
    """UTF-8 of good documents in the order of their ids, up to about `_PROFILE_BYTES`."""
    size = 0
    for bucket in sorted((artifacts / "validate").glob("part-*.parquet")):
        for id_, text in pl.read_parquet(bucket, columns=["id", "text"]).sort("id").iter_rows():
            if id_ in ids and size < _PROFILE_BYTES:
                encoded = text.encode()
                size += len(encoded)
                yield encoded


def _compare(past: Past, read: pl.DataFrame, good: pl.DataFrame, limits: Drift, settings: Settings) -> Report:
    new = read.filter(~np.isin(fingerprints(read["digest"]), past.known))
    accepted = sorted(set(new["id"]) & set(good["id"]))
    measures: dict[str, Measure] = {}
    if new.height >= limits.min_documents:
        rejected = 1 - len(accepted) / new.height
        measures["rejected_share"] = _measure(rejected, past.own.rejected_share, limits.max_rejected_share_rise)
    if len(accepted) >= limits.min_documents:
        measures |= _measures_of_text(past, accepted, limits, settings)
    exceeded = [name for name, measure in measures.items() if measure.is_exceeded]
    for name in exceeded:
        logger.warning("drift: %s is %s", name, _in_words(measures[name]))
    if not new.height:
        summary = f"no document that {past.ref} has not seen"
    elif not measures:
        summary = f"{new.height} new documents, fewer than drift.min_documents ({limits.min_documents}): not judged"
    else:
        said = ", ".join(f"{name} {_in_words(measures[name])}" for name in exceeded) or "all within limits"
        summary = f"{new.height:,} documents that {past.ref} has not seen: {said}"
    return Report(step="drift", summary=summary, facts=_facts(measures, new.height, past.ref))


def _measures_of_text(past: Past, ids: list[str], limits: Drift, settings: Settings) -> dict[str, Measure]:
    profile = Profile.of(_texts(settings.artifacts, set(ids)))
    sample = list(_texts(settings.artifacts, set(ids[: limits.sample_documents])))
    found = {
        "text_divergence": _measure(
            text_divergence(profile, past.own.profile), past.own.text_divergence, limits.max_text_divergence_rise
        ),
        "length_distance": _measure(
            length_distance(profile, past.own.profile), past.own.length_distance, limits.max_length_distance_rise
        ),
    }
    if past.bits_per_byte is not None:
        now = champion_bits_per_byte(past, sample, settings)
        found["bits_per_byte"] = _measure(now, past.bits_per_byte, limits.max_bits_per_byte_rise)
    return found


def _measure(now: float, champion: float, limit: float) -> Measure:
    return Measure(now=round(now, _DECIMALS), champion=round(champion, _DECIMALS), limit=limit)


def _in_words(measure: Measure) -> str:
    return f"{measure.now:.3f}, the champion's own is {measure.champion:.3f} and {measure.limit:g} more is allowed"


def _facts(measures: dict[str, Measure], new_documents: int, champion: str) -> dict[str, Any]:
    return {
        "champion": champion or None,
        "new_documents": new_documents,
        "measures": {name: measure.model_dump() for name, measure in measures.items()},
        "exceeded": [name for name, measure in measures.items() if measure.is_exceeded],
    }
