"""How a run ended, in words."""

import pytest

from flows.outcome import outcome_of
from tasks.report import Report, StepError
from tests.flows.conftest import release


@pytest.mark.parametrize(
    ("made", "state", "headline"),
    [
        (release(), "promoted", "notes@v3 is the champion"),
        (release("refuse"), "refused", "notes@v3 was refused"),
        (release("ask"), "ask", "notes@v3 waits for your decision"),
        (release(is_champion=False, note="v2 came back"), "kept", "notes@v3 is kept, not promoted"),
        (release(is_new=False), "unchanged", "notes@v3 stays the champion: nothing is new"),
        (release("refuse", is_new=False), "unchanged", "notes@v3 was published before"),
    ],
)
def test_a_release(ended, made, state, headline):
    account = ended()
    account.release = made
    found = outcome_of(account, name="notes", prompt="it's ")
    assert (found.state, found.headline) == (state, headline)
    assert "because" in found.reasons
    assert ("abcd promote notes@v3" in [command.text for command in found.next]) == (not made.is_champion)
    assert any(command.text == """abcd sample --release notes@v3 'it'"'"'s '""" for command in found.next)


def test_a_refused_release_comes_with_what_would_help_once(ended):
    account = ended()
    account.release = release("refuse")
    [helps] = outcome_of(account, name="notes", prompt="").helps
    assert "raise train.tokens in params.yaml" in helps
    account.release = release("refuse", reasons=(f"no better; {helps}",))
    assert outcome_of(account, name="notes", prompt="").helps == ()


def test_drift_over_its_limit_is_said_whatever_came_of_the_run(ended):
    account = ended("ingest")
    account.done(account.steps[0].model_copy(update={"step": "drift", "outcome": "ran", "report": Report(
        step="drift", summary="80 documents that notes@v1 has not seen: rejected_share 0.4", facts={"exceeded": ["x"]},
    )}))  # fmt: skip
    found = outcome_of(account, name="notes", prompt="")
    assert (found.state, found.headline) == ("drifted", "notes: new documents differ from the champion's")
    assert found.reasons[0].startswith("drift over its limit: 80 documents")
    account.release = release()
    found = outcome_of(account, name="notes", prompt="")
    assert (found.state, len(found.reasons)) == ("promoted", 2)


def test_a_night_that_was_skipped_says_why(ended):
    account = ended("ingest")
    account.skipped = "it would start 7 h late"
    found = outcome_of(account, name="notes", prompt="")
    assert (found.state, found.reasons) == ("skipped", ("it would start 7 h late",))


def test_a_failed_a_stopped_and_a_quiet_run(ended):
    account = ended("ingest")
    assert outcome_of(account, name="notes", prompt="").state == "done"
    account.nothing_new = "the sources are those of notes@v3"
    assert outcome_of(account, name="notes", prompt="").reasons == ("the sources are those of notes@v3",)
    account.failed("clean", 1.0, StepError("expected text; add some"))
    found = outcome_of(account, name="notes", prompt="")
    assert (found.state, found.headline) == ("failed", "notes failed at clean")
    assert found.reasons == ("expected text; add some",)
    account.ended_by(KeyboardInterrupt())
    found = outcome_of(account, name="", prompt="")
    assert (found.state, found.headline) == ("stopped", "pipeline was stopped during clean")
