"""An account becomes its outcome: one word, one headline, the reasons, what would help, what to type next."""

import shlex
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from flows.account import Account
from tasks.distribution.advice import advice, training_of
from tasks.distribution.publish import PublishedRelease

State = Literal["promoted", "ask", "refused", "kept", "unchanged", "skipped", "drifted", "done", "failed", "stopped"]
BADGES: dict[State, str] = {
    "promoted": "Promoted",
    "ask": "You decide",
    "refused": "Refused",
    "kept": "Kept",
    "unchanged": "Nothing new",
    "skipped": "Skipped",
    "drifted": "Drift",
    "done": "Done",
    "failed": "Failed",
    "stopped": "Stopped",
}


class Command(BaseModel):
    """What to type, and what it does."""

    model_config = ConfigDict(frozen=True)

    text: str
    does: str


class Outcome(BaseModel):
    """How a run ended, in words."""

    model_config = ConfigDict(frozen=True)

    state: State
    headline: str
    reasons: tuple[str, ...] = ()
    helps: tuple[str, ...] = Field(default=(), description="what would make a refused model better")
    next: tuple[Command, ...] = ()

    @property
    def badge(self) -> str:
        """The state for people."""
        return BADGES[self.state]


def outcome_of(account: Account, *, name: str, prompt: str) -> Outcome:
    """How the run ended.

    Args:
        account: of the run.
        name: of the model, empty where params.yaml cannot be used.
        prompt: one to try a release with.
    """
    if account.stopped:
        where = f" during {account.failed_step}" if account.failed_step else ""
        return Outcome(state="stopped", headline=f"{name or account.flow} was stopped{where}", next=(_again(),))
    if account.failure:
        where = f" at {account.failed_step}" if account.failed_step else ""
        reasons = (account.failure.cause,)
        return Outcome(
            state="failed", headline=f"{name or account.flow} failed{where}", reasons=reasons, next=(_again(),)
        )
    if account.skipped:
        return Outcome(state="skipped", headline=f"{name or account.flow} was skipped", reasons=(account.skipped,))
    drift = _drift(account)
    if account.nothing_new:
        return Outcome(state="unchanged", headline=f"{name}: nothing new", reasons=(account.nothing_new,))
    if account.release:
        return _of_release(account, account.release, drift, prompt)
    if drift:
        return Outcome(state="drifted", headline=f"{name}: new documents differ from the champion's", reasons=drift)
    return Outcome(state="done", headline=f"{account.flow.replace('_', ' ')} is up to date")


def _of_release(account: Account, release: PublishedRelease, drift: tuple[str, ...], prompt: str) -> Outcome:
    reasons = (*filter(None, [release.note, *release.reasons]), *drift)
    state, said = _standing(release)
    use = (
        Command(text=f"abcd sample --release {release.ref} {shlex.quote(prompt)}", does="let it go on with a text"),
        Command(text=f"abcd show {release.ref}", does="its record: code, data, params, measurements"),
        Command(
            text=f"abcd pull {release.ref} --to model",
            does="for transformers and vLLM, with its card",
        ),
    )
    promote = Command(text=f"abcd promote {release.ref}", does="make it the champion because you say so")
    return Outcome(
        state=state,
        headline=f"{release.ref} {said}",
        reasons=reasons,
        helps=tuple(_what_would_help(account, reasons)) if release.decision == "refuse" else (),
        next=use if release.is_champion else (promote, *use),
    )


def _drift(account: Account) -> tuple[str, ...]:
    """What a step found over a limit that does not stop the run."""
    over = [result for result in account.steps if result.report.facts.get("exceeded")]
    return tuple(f"{result.step} over its limit: {result.report.summary}" for result in over)


def _standing(release: PublishedRelease) -> tuple[State, str]:
    if not release.is_new:
        return "unchanged", "stays the champion: nothing is new" if release.is_champion else "was published before"
    if release.is_champion:
        return "promoted", "is the champion"
    if release.decision == "promote":
        return "kept", "is kept, not promoted"
    return ("ask", "waits for your decision") if release.decision == "ask" else ("refused", "was refused")


def _what_would_help(account: Account, reasons: tuple[str, ...]) -> list[str]:
    """Advice from what it read, unless the gate's reasons hold it already."""
    reports = {result.step: result.report for result in account.steps}
    if "train" not in reports or "pack" not in reports:
        return []
    said = advice(training_of(reports["train"].facts["tokens"], reports["pack"].facts["train"]))
    return [] if any(said in reason for reason in reasons) else [said]


def _again() -> Command:
    return Command(text="abcd run", does="go on where it was, once the cause is gone")
