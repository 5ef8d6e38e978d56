"""A flow run that ended becomes a record that is kept: who reads it later can adopt the run or make it again."""

from prefect.logging import get_run_logger

from flows.account import Account
from flows.present import attempt
from infra import checkout
from infra.settings import Settings
from tasks.distribution.begin import begin
from tasks.distribution.run_record import State, keep_run
from tasks.report import StepError

_NOT_CHAMPION: dict[str, State] = {"promote": "kept", "ask": "asks", "refuse": "refused"}  # by the gate's decision


def say_where(settings: Settings) -> None:
    """Say in the log of a run that it works in a checkout, and what that leaves out."""
    if about := checkout.about_checkout(settings):
        get_run_logger().info(checkout.describe(about))


def begin_with_last(settings: Settings) -> None:
    """In a fresh checkout begin with what the nearest run had made; that it cannot be had costs time only."""
    try:
        run = begin(settings) if checkout.about_checkout(settings) else ""
    except StepError as error:
        get_run_logger().warning("begins with nothing: %s", error)
        return
    if run:
        get_run_logger().info("begins with the outputs of run %s; what differs is made anew", run)


def keep(account: Account, settings: Settings) -> None:
    """Keep the record, and mark the run's checkout as no longer needed; a record that cannot be kept is a warning."""
    state, said = _end(account)
    release = account.release.ref if account.release else None
    attempt(
        keep_run, settings, account.folder,
        flow=account.flow, state=state, said=said, release=release, started=account.started,
        ended_steps=[result.step for result in account.steps],
    )  # fmt: skip
    checkout.note_end(settings, ended_well=state not in ("failed", "stopped"))


def _end(account: Account) -> tuple[State, str]:
    if account.stopped:
        return "stopped", "stopped before its end"
    if account.failure is not None:
        return "failed", account.failure.cause
    if account.release is None:
        return "ended", account.nothing_new or account.skipped
    reasons = "; ".join(account.release.reasons)
    if account.release.is_champion:
        return "released", reasons
    return _NOT_CHAMPION[account.release.decision], reasons
