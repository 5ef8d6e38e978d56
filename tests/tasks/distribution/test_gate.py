"""The gate step: a first model, the champion again, a better and a worse one; figures that can be checked."""

from pathlib import Path

import polars as pl
import pytest

from infra.releases import Registry
from tasks.distribution import gate
from tasks.report import StepError


def test_a_first_model_must_beat_a_byte_3gram(gated):
    facts = gated.run()
    assert (facts["decision"], facts["champion"], facts["bits_per_byte"]) == ("promote", None, 2.0)
    gated.trained.evaluation(bits_per_character=2.7)
    facts = gated.run()
    assert (facts["decision"], facts["promote"]) == ("refuse", False)
    assert "1,024 tokens" in facts["reasons"][0]


def test_the_champion_again_is_not_evaluated(gated, monkeypatch):
    gated.release()
    monkeypatch.setattr(gate, "_champion_bits", None)
    facts = gated.run()
    assert facts["reasons"] == ["same weights as the champion, novels@v1"]
    assert (facts["promote"], facts["difference"], facts["interval"]) == (True, 0, [0, 0])


def test_the_champion_is_counted_as_evaluate_counts(gated):
    """Its own bits, come back from the registry through the Hugging Face names and the tokenizer."""
    bits = gated.judge_own_weights()
    gated.release()
    gated.trained.weights(seed=2)
    size = pl.read_parquet(gated.trained.folder("evaluate") / "documents.parquet")["bytes"].sum()
    facts = gated.run()  # the candidate's bits are the champion's, though its weights are not
    assert facts["champion_bits_per_byte"] == pytest.approx(bits.sum() / size, abs=1e-6)
    assert facts["difference"] == pytest.approx(0, abs=1e-6)
    assert facts["decision"] == "promote"


@pytest.mark.parametrize(("worse_by", "decision"), [(-0.5, "promote"), (0.004, "promote"), (0.006, "refuse")])
def test_the_margin_decides(gated, worse_by, decision):
    """Every document worse by the same: the interval has no width, so the difference is its bound."""
    gated.judge_own_weights()
    gated.release()
    gated.trained.weights(seed=2)
    path = gated.trained.folder("evaluate") / "documents.parquet"
    documents = pl.read_parquet(path)
    documents.with_columns(bits=pl.col("bits") + pl.col("bytes") * worse_by).write_parquet(path)
    facts = gated.run()
    assert facts["decision"] == decision
    assert facts["difference"] == pytest.approx(worse_by, abs=1e-6)
    assert facts["interval"] == pytest.approx([worse_by, worse_by], abs=1e-6)
    assert (facts["documents"], facts["groups"]) == (12, 3)


def test_the_champion_is_evaluated_once(gated, monkeypatch):
    from tasks.distribution import champion as module

    gated.judge_own_weights()
    gated.release()
    gated.trained.weights(seed=2)
    first = gated.run()
    calls = []
    real = module._evaluate
    monkeypatch.setattr(module, "_evaluate", lambda *arguments: calls.append(1) or real(*arguments))
    assert gated.run() == first
    assert calls == []
    held_out = gated.trained.folder("pack") / "held_out.parquet"
    texts = pl.read_parquet(held_out)
    texts.with_columns(text=pl.col("text") + "more").write_parquet(held_out)
    changed = gated.run()
    assert calls == [1]
    assert any("other held-out documents" in reason for reason in changed["reasons"])


def test_damaged_bits_of_the_champion_are_counted_again(gated):
    gated.judge_own_weights()
    gated.release()
    gated.trained.weights(seed=2)
    first = gated.run()
    (remembered,) = (gated.settings.cache / "gate").glob("*.bits")
    whole = remembered.read_bytes()
    remembered.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    assert gated.run() == first
    assert remembered.read_bytes() == whole


def test_a_changed_champion_is_refused_by_name(gated):
    gated.judge_own_weights()
    release = gated.release()
    gated.trained.weights(seed=2)
    blob = Registry.of(gated.settings).store.where(release.files["model.safetensors"].blob)
    with Path(blob).open("r+b") as file:
        file.write(b"x")
    with pytest.raises(StepError, match=r"novels@v1 model\.safetensors: .* was changed"):
        gated.run()
    assert list((gated.settings.cache / "gate").iterdir()) == []


def test_a_champion_of_another_name_is_refused(gated):
    gated.release("poems")
    with pytest.raises(StepError, match="abcd discover"):
        gated.run()


def test_documents_that_pack_did_not_hold_out_are_refused(gated):
    gated.judge_own_weights()
    gated.release()
    gated.trained.weights(seed=2)
    path = gated.trained.folder("evaluate") / "documents.parquet"
    pl.read_parquet(path).with_columns(id=pl.col("id") + "x").write_parquet(path)
    with pytest.raises(StepError, match="dvc repro"):
        gated.run()


def test_with_few_documents_a_person_is_asked(gated):
    gate_params = gated.params.gate.model_copy(update={"min_documents": 13})
    gated.params = gated.params.model_copy(update={"gate": gate_params})
    assert gated.run()["decision"] == "ask"


def test_the_same_inputs_are_the_same_bytes(gated):
    gated.judge_own_weights()
    gated.release()
    gated.trained.weights(seed=2)
    written = []
    for _ in range(2):
        gated.run()
        written.append([path.read_bytes() for path in sorted(gated.trained.folder("gate").iterdir())])
    assert written[0] == written[1]
