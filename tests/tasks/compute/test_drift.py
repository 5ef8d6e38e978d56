"""New documents against the champion's record: what is new, what is judged, what is over the limit."""

import hashlib
import json
import random
import shutil

import polars as pl
import pytest

from infra.releases import Registry, champion
from infra.settings import Settings
from infra.signed_log import Summary
from tasks.compute import drift
from tasks.compute.spread import Place
from tasks.compute.worker import open_run
from tasks.distribution import registry as registry_module
from tasks.fingerprints import fingerprints, read_fingerprints
from tasks.report import Report, StepError, read_json, sha256_of, write_json
from tests.tasks.compute.conftest import WORDS, Workspace, write_documents
from tests.tasks.compute.test_base import make_base

NAME = "docs"


def texts(count: int, *, seed: int, words: list[str] = WORDS) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(words, k=rng.randint(20, 60))) for _ in range(count)]


class Nights:
    """A workspace whose documents change, and the champion of one of its nights."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.artifacts = workspace, workspace.artifacts
        self.settings: Settings = workspace.settings()
        write_json(self.artifacts / "discover" / "champion.json", {})

    def bring(self, documents: list[str], *, rejected: int = 0) -> None:
        """Documents of tonight; the contract rejects the first `rejected`."""
        for step in ("validate", "pack", "tokenizer", "ingest"):
            shutil.rmtree(self.artifacts / step, ignore_errors=True)
        write_documents(self.artifacts, documents, held_out=8)
        for bucket in (self.artifacts / "validate").glob("part-*.parquet"):
            digest = pl.col("text").map_elements(_digest, return_dtype=pl.String)
            table = pl.read_parquet(bucket).with_columns(digest=digest)
            (self.artifacts / "ingest").mkdir(exist_ok=True)
            table.write_parquet(self.artifacts / "ingest" / bucket.name)
            bad = {_digest(text) for text in documents[:rejected]}
            table.filter(~pl.col("digest").is_in(list(bad))).write_parquet(bucket)

    def run(self) -> Report:
        out = self.artifacts / "drift"
        out.mkdir(exist_ok=True)
        return drift.run(self.workspace.params, self.settings, out)

    def release(self) -> None:
        """Make what drift left, and an untrained model, the champion; pin it."""
        run = open_run(self.artifacts, Place())
        make_base(self.workspace, run)
        opened, key = Registry.of(self.settings), registry_module.signing_key(self.settings.keys)
        fetched = self.artifacts / "discover" / "base"
        paths = {name: fetched / name for name in ("blueprint.json", "model.safetensors")}
        paths["tokenizer.json"] = self.artifacts / "tokenizer" / "tokenizer.json"
        paths |= {
            f"data/{name}": self.artifacts / "drift" / name for name in ("profile.json", "known.npy", "trained.npy")
        }
        made, _ = registry_module.add_release(
            opened, key, NAME, identity="0" * 64, record=registry_module.put_bytes(opened, b"{}"),
            files={name: registry_module.put_file(opened, path) for name, path in paths.items()},
            summary=Summary(**dict.fromkeys(("weights_sha256", "tokenizer_sha256", "held_out_sha256"), "0" * 64),
                            bits_per_byte=1.0, decision="promote"),
        )  # fmt: skip
        registry_module.set_alias(opened, key, NAME, "champion", made.version, expected=None)
        write_json(self.artifacts / "discover" / "champion.json", champion(self.settings, NAME))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


KNOWN = texts(60, seed=1)


@pytest.fixture
def nights(workspace) -> Nights:
    made = Nights(workspace)
    made.bring(KNOWN)
    return made


def test_without_a_champion_nothing_is_judged_and_the_profile_is_left(nights):
    report = nights.run()
    assert "no champion yet" in report.summary
    assert report.facts["exceeded"] == []
    assert read_json(nights.artifacts / "drift" / "profile.json")["profile"]["documents"] == 60
    known = read_fingerprints(nights.artifacts / "drift" / "known.npy")
    assert set(known.tolist()) == set(fingerprints(map(_digest, KNOWN)).tolist())
    assert len(read_fingerprints(nights.artifacts / "drift" / "trained.npy")) == 2 * 52


def test_what_the_champion_read_is_not_new(nights):
    nights.run()
    nights.release()
    assert nights.run().summary == "no document that docs@v1 has not seen"


def test_more_of_the_same_is_within_the_limits_but_for_a_champion_that_knows_nothing(nights):
    nights.run()
    nights.release()
    nights.bring([*KNOWN, *texts(25, seed=2)])
    first, again = nights.run(), nights.run()
    assert first == again
    assert first.facts["new_documents"] == 25
    assert set(first.facts["measures"]) == {"rejected_share", "text_divergence", "length_distance", "bits_per_byte"}
    # An untrained model of 300 tokens: log2(300) bits a token, far above the 1.0 a byte that its record claims.
    assert first.facts["exceeded"] == ["bits_per_byte"]


def test_another_language_and_rejected_rows_are_over_the_limit(nights):
    nights.run()
    nights.release()
    german = ["die", "Nachtwache", "sah", "nichts", "Neues", "auf", "Straße", "zum", "Hafen", "ging", "überall", "hin"]
    nights.bring([*texts(40, seed=3, words=german), *KNOWN], rejected=12)
    facts = nights.run().facts
    assert facts["measures"]["rejected_share"]["now"] == pytest.approx(12 / 40)
    assert {"rejected_share", "text_divergence"} <= set(facts["exceeded"])


def test_few_new_documents_are_not_judged(nights):
    nights.run()
    nights.release()
    nights.bring([*KNOWN, *texts(5, seed=2)])
    report = nights.run()
    assert "5 new documents, fewer than drift.min_documents (20)" in report.summary
    assert report.facts["measures"] == {}


def test_a_champion_of_before_releases_had_profiles_is_said(nights):
    nights.run()
    nights.release()
    pinned = read_json(nights.artifacts / "discover" / "champion.json")
    pinned["files"] = {name: file for name, file in pinned["files"].items() if not name.startswith("data/")}
    write_json(nights.artifacts / "discover" / "champion.json", pinned)
    assert "has no profile" in nights.run().summary


def test_a_changed_record_is_an_error(nights):
    nights.run()
    nights.release()
    digest = sha256_of(nights.artifacts / "drift" / "profile.json")
    blob = nights.settings.state / "registry" / "blobs" / "sha256" / digest
    blob.chmod(0o644)
    blob.write_text(json.dumps({}))
    with pytest.raises(StepError, match=r"champion's record cannot be read.*was changed"):
        nights.run()
