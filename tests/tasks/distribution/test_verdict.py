"""The gate's rules, at their edges."""

import pytest

from tasks.distribution.advice import Training
from tasks.distribution.bootstrap import Interval
from tasks.distribution.group_differences import GroupDifference
from tasks.distribution.verdict import Candidate, Champion, Verdict, judge_against, judge_first, judge_same
from tasks.params import Gate

CHAMPION = Champion(name="novels", version=3, weights_sha256="c", held_out_sha256="h")
PARAMS = Gate(margin_bits_per_byte=0.005, min_documents=50)


def candidate(*, bits_per_byte=2.0, documents=50, groups=20):
    return Candidate(weights_sha256="w", bits_per_byte=bits_per_byte, documents=documents, groups=groups)


def against(high, *, mine=None, same_held_out=True):
    return judge_against(
        mine or candidate(),
        CHAMPION,
        PARAMS,
        champion_bits_per_byte=2.01,
        interval=Interval(-0.01, -0.03, high),
        same_held_out=same_held_out,
    )


@pytest.mark.parametrize(
    ("high", "decision"), [(-0.1, "promote"), (0.0, "promote"), (0.005, "promote"), (0.005001, "refuse"), (1, "refuse")]
)
def test_the_upper_bound_decides(high, decision):
    verdict = against(high)
    assert (verdict.decision, verdict.promote) == (decision, decision == "promote")
    assert verdict.interval == (-0.03, high)
    assert "novels@v3" in verdict.reasons[0]
    assert len(verdict.reasons) == 1


@pytest.mark.parametrize("high", [-0.1, 1])
def test_with_few_documents_a_person_decides_and_sees_the_figures(high):
    verdict = against(high, mine=candidate(documents=49))
    assert (verdict.decision, verdict.promote) == ("ask", False)
    assert "49 held-out documents" in verdict.reasons[-1]
    assert verdict.difference == -0.01


def test_what_weakens_the_comparison_is_said():
    assert "other held-out documents" in " ".join(against(0, same_held_out=False).reasons)
    assert "one group" in " ".join(against(0, mine=candidate(groups=1)).reasons)


@pytest.mark.parametrize(
    ("bits_per_byte", "documents", "decision"),
    [(2.63, 50, "promote"), (2.64, 50, "refuse"), (3, 50, "refuse"), (2.63, 49, "ask"), (3, 49, "refuse")],
)
def test_a_first_release_beats_a_byte_3gram(bits_per_byte, documents, decision):
    mine = candidate(bits_per_byte=bits_per_byte, documents=documents)
    training = Training(tokens=1000, text_tokens=500, text_bytes=1500)
    verdict = judge_first(mine, PARAMS, byte_3gram=2.64, training=training)
    assert (verdict.decision, verdict.promote) == (decision, decision == "promote")
    assert verdict.champion is None
    assert ("train.tokens" in verdict.reasons[0]) == (decision == "refuse")
    assert ("cut into several" in verdict.reasons[-1]) == (documents < 50)


def test_the_champion_itself_passes_however_few_documents_there_are():
    verdict = judge_same(candidate(documents=2), CHAMPION, PARAMS)
    assert verdict.promote
    assert verdict.reasons == ("same weights as the champion, novels@v3",)
    assert (verdict.difference, verdict.champion_bits_per_byte) == (0, 2.0)


def group(name, *, low, documents=9):
    interval = (low, low + 0.1) if documents > 1 else None
    return GroupDifference(group=name, documents=documents, size=10, difference=low + 0.02, interval=interval)


def test_worse_groups_are_named_and_decide_nothing():
    differences = [group("poems", low=0.01), group("prose", low=-0.01), group("notes", low=0.01, documents=3)]
    verdict = judge_against(
        candidate(),
        CHAMPION,
        PARAMS,
        champion_bits_per_byte=2.01,
        interval=Interval(-0.01, -0.03, 0.001),
        same_held_out=True,
        differences=differences,
    )
    assert verdict.decision == "promote"
    assert verdict.worse_groups == (differences[0],)
    assert verdict.reasons[1] == (
        "worse in: poems (+0.0300, 9 documents); of the 2 groups with at least 6 documents about 0.1 would look so by "
        "chance"
    )
    assert Verdict.model_validate_json(verdict.model_dump_json()) == verdict
