"""The comparison of a warm start: same pages or none, signs, parts; the sources are the same in every run."""

import json

import numpy as np
import polars as pl
import pytest

from benchmarks.warm import BASE, BEFORE, LONG, MORE, OTHER, PAGE_CHARACTERS, PARTS, SCRATCH, WARM, compare, difference
from benchmarks.warm import write_pages as write


def judged(quality: float, *parts: str, seed: int = 1) -> pl.DataFrame:
    """Forty pages of each part under a model of that many bits per byte, each by chance a little off."""
    uris = [f"sources/{part}.jsonl#{n}" for part in parts for n in range(40)]
    noise = np.random.default_rng(seed).normal(0, 0.01, len(uris))
    sizes = [1000 + n for n in range(len(uris))]
    bits = [(quality + each) * size for each, size in zip(noise, sizes, strict=True)]
    return pl.DataFrame({"id": uris, "uri": uris, "bytes": sizes, "bits": bits}).sort("id", descending=seed % 2 == 0)


def models(**qualities: float) -> dict[str, list[pl.DataFrame]]:
    made = {name: [judged(quality, *PARTS, seed=seed) for seed in (1, 2, 3)] for name, quality in qualities.items()}
    return {**made, BASE: [judged(2.1, BEFORE, seed=seed) for seed in (1, 2, 3)]}


def test_a_better_start_is_a_negative_difference_with_an_interval_around_it():
    mine, theirs = ([judged(each, *PARTS, seed=seed) for seed in (1, 3)] for each in (1.9, 2.0))
    found = difference(mine, theirs)
    assert found["low"] <= found["mean"] <= found["high"] < 0
    assert found["mean"] == pytest.approx(-0.1, abs=1e-6)
    assert found["seeds"] == pytest.approx([-0.1, -0.1])


def test_models_judged_by_other_pages_are_not_compared():
    with pytest.raises(RuntimeError, match="judged by different pages"):
        difference([judged(2.0, BEFORE)], [judged(2.0, MORE)])


def test_each_part_is_compared_and_the_base_where_it_was_judged():
    found = compare(models(**{WARM: 1.9, SCRATCH: 2.0, LONG: 1.8}))
    assert list(found) == ["all", BEFORE, MORE, OTHER]
    for part, each in found.items():
        against = each[f"{WARM} minus"]
        assert each["pages"] == (120 if part == "all" else 40)
        assert set(against) == set(each["bits_per_byte"]) - {WARM}
        assert against[SCRATCH]["mean"] < 0 < against[LONG]["mean"]
        assert (BASE in against) == (part == BEFORE)


def test_only_pages_that_all_held_out_are_compared():
    found = models(**{WARM: 1.9, SCRATCH: 2.0, LONG: 1.8})
    found[WARM][1] = found[WARM][1].filter(~pl.col("uri").str.contains("more.jsonl#1"))
    more = compare(found)[MORE]
    assert more["pages"] == 40 - 11
    assert more["held_out"][WARM] == [40, 29, 40]
    assert more[f"{WARM} minus"][SCRATCH]["mean"] < 0


def test_the_sources_are_real_pages_and_the_same_again(tmp_path, shared_data):
    for folder in ("one", "two"):
        write(tmp_path / folder)
    files = {part: (tmp_path / "one" / f"{part}.jsonl").read_text() for part in PARTS}
    assert files == {part: (tmp_path / "two" / f"{part}.jsonl").read_text() for part in PARTS}
    texts = {part: [json.loads(line)["text"] for line in lines.splitlines()] for part, lines in files.items()}
    assert [len(each) for each in texts.values()] == [600, 150, 150]
    assert not set(texts[BEFORE]) & set(texts[MORE])
    assert max(len(text) for each in texts.values() for text in each) <= PAGE_CHARACTERS
