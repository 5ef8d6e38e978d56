"""Figures of a candidate, a champion and yardsticks become a verdict: promote, refuse or ask a person; with reasons."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.distribution.advice import Training, advice, warning
from tasks.distribution.bootstrap import Interval
from tasks.distribution.group_differences import FEWEST_DOCUMENTS, GroupDifference
from tasks.params import Gate

Decision = Literal["promote", "refuse", "ask"]
_GROUPS_NAMED = 5


class Champion(BaseModel):
    """The release that was to be beaten."""

    model_config = ConfigDict(frozen=True)  # `champion.json` says more than the gate asks

    name: str
    version: int
    weights_sha256: str
    held_out_sha256: str


class Verdict(BaseModel):
    """What the gate says and why. Differences are candidate minus champion, in bits per byte: below zero is better."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    promote: bool
    decision: Decision
    reasons: tuple[str, ...]
    weights_sha256: str = Field(description="of the candidate")
    champion: Champion | None = None
    documents: int = Field(description="held out")
    groups: int = Field(description="of held-out documents, drawn together")
    bits_per_byte: float
    champion_bits_per_byte: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    confidence: float
    margin_bits_per_byte: float
    worse_groups: tuple[GroupDifference, ...] = Field(default=(), description="measurably worse, the largest first")


class Candidate(BaseModel):
    """What is known of the model that wants to be released, whatever it is compared with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights_sha256: str
    bits_per_byte: float
    documents: int
    groups: int


def judge_first(candidate: Candidate, params: Gate, *, byte_3gram: float, training: Training) -> Verdict:
    """Without a champion: better than a byte 3-gram model of the same text (sanity, not glory).

    Args:
        candidate: the model.
        params: the `gate` section.
        byte_3gram: bits per byte of that model on the same documents.
        training: what the model was trained on, to tell what there should be more of.
    """
    few = _too_few(candidate, params)
    if candidate.bits_per_byte >= byte_3gram:
        reason = (
            f"first release, but {candidate.bits_per_byte:.3f} bits per byte are no better than the {byte_3gram:.3f} "
            f"of a byte 3-gram model trained on the same text; {advice(training)}"
        )
        return _verdict(candidate, params, "refuse", [reason, *few])
    reason = f"first release: {candidate.bits_per_byte:.3f} bits per byte beat the {byte_3gram:.3f} of a byte 3-gram"
    return _verdict(candidate, params, "ask" if few else "promote", [reason, *warning(training), *few])


def judge_same(candidate: Candidate, champion: Champion, params: Gate) -> Verdict:
    """The champion itself, again: nothing can have become worse."""
    figures = {"champion_bits_per_byte": candidate.bits_per_byte, "difference": 0.0, "interval": (0.0, 0.0)}
    reason = f"same weights as the champion, {_ref(champion)}"
    return _verdict(candidate, params, "promote", [reason], champion=champion, **figures)


def judge_against(
    candidate: Candidate,
    champion: Champion,
    params: Gate,
    *,
    champion_bits_per_byte: float,
    interval: Interval,
    same_held_out: bool,
    differences: Sequence[GroupDifference] = (),
) -> Verdict:
    """Against a champion: not measurably worse than by the margin, which the interval's upper bound decides.

    Args:
        candidate: the model.
        champion: the release to beat.
        params: the `gate` section.
        champion_bits_per_byte: on the same documents.
        interval: candidate minus champion.
        same_held_out: whether the champion was judged on these documents when it was released.
        differences: by group, told to people; they decide nothing.
    """
    worst, margin = interval.high, params.margin_bits_per_byte
    good = worst <= margin
    reasons = [
        f"{candidate.bits_per_byte:.3f} bits per byte against {champion_bits_per_byte:.3f} of {_ref(champion)}: "
        f"difference {interval.difference:+.4f}, {params.confidence * 100:g} % interval "
        f"{interval.low:+.4f} to {worst:+.4f}; its upper bound is "
        f"{'at most' if good else 'above'} the allowed {margin:+.4f}"
    ]
    if candidate.groups == 1:
        reasons.append("all documents are of one group, so they were drawn one by one: the interval may be too narrow")
    if not same_held_out:
        reasons.append(
            f"{_ref(champion)} was judged on other held-out documents than today's and evaluated anew; "
            "it may have been trained on some of them, which favours it"
        )
    worse = [group for group in differences if group.is_worse] if candidate.groups > 1 else []
    few = _too_few(candidate, params)
    return _verdict(
        candidate,
        params,
        "ask" if few else "promote" if good else "refuse",
        [*reasons, *_worse_in(worse, differences, params), *few],
        worse_groups=worse,
        champion=champion,
        champion_bits_per_byte=champion_bits_per_byte,
        difference=interval.difference,
        interval=(interval.low, interval.high),
    )


def _verdict(candidate: Candidate, params: Gate, decision: Decision, reasons: list[str], **figures: object) -> Verdict:
    return Verdict.model_validate(
        {
            "promote": decision == "promote",
            "decision": decision,
            "reasons": reasons,
            "confidence": params.confidence,
            "margin_bits_per_byte": params.margin_bits_per_byte,
            **candidate.model_dump(),
            **figures,
        }
    )


def _too_few(candidate: Candidate, params: Gate) -> list[str]:
    if candidate.documents >= params.min_documents:
        return []
    return [
        f"{candidate.documents} held-out documents are fewer than gate.min_documents ({params.min_documents}), "
        "too few to decide by: a person promotes. More documents would help, or long ones cut into several"
    ]


def _worse_in(worse: Sequence[GroupDifference], all_groups: Sequence[GroupDifference], params: Gate) -> list[str]:
    """Where it got worse, and how many groups would look so by chance alone."""
    if not worse:
        return []
    telling = sum(group.is_telling for group in all_groups)
    named = [f"{group.group} ({group.difference:+.4f}, {group.documents} documents)" for group in worse[:_GROUPS_NAMED]]
    more = f" and {len(worse) - _GROUPS_NAMED} more" if len(worse) > _GROUPS_NAMED else ""
    return [
        f"worse in: {', '.join(named)}{more}; of the {telling} groups with at least {FEWEST_DOCUMENTS} documents about "
        f"{telling * (1 - params.confidence) / 2:.1f} would look so by chance"
    ]


def _ref(champion: Champion) -> str:
    return f"{champion.name}@v{champion.version}"
