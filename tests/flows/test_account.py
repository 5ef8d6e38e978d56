"""What happens in a run is written down; the outermost account is the run's."""

from pathlib import Path

import pytest

from flows import account as account_module
from flows.account import ID_FILE, Account, account, active, run_name
from infra.settings import Settings
from tasks.report import StepError


@pytest.fixture
def told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[Account]:
    """Accounts that were told, instead of telling them."""
    accounts: list[Account] = []
    monkeypatch.setattr("flows.tell.tell", lambda now, _settings: accounts.append(now))
    return accounts


def test_an_account_inside_another_is_that_one_and_told_once(told: list[Account]):
    with account("pipeline") as outer:
        with account("compute") as inner:
            assert inner is outer is active()
        assert told == []
    assert told == [outer]
    assert active() is None


def test_an_error_goes_on_and_is_in_the_account(told: list[Account]):
    with pytest.raises(StepError), account("pipeline"):
        raise StepError("expected text, found none; add some")
    assert told[0].failure is not None
    assert told[0].failure.cause == "expected text, found none; add some"
    assert not told[0].stopped


def test_the_error_of_the_step_is_the_cause_not_that_of_the_flow_around_it(told: list[Account]):
    def clean(now: Account) -> None:
        with now.log("clean") as log:
            log.line("clean: reading")
        now.failed("clean", 1.0, StepError("expected text; add some"))
        raise RuntimeError("a step failed")

    with pytest.raises(RuntimeError), account("pipeline") as now:
        clean(now)
    assert told[0].failure.cause == "expected text; add some"
    assert told[0].failure.tail == ("clean: reading",)


def test_a_step_asked_for_twice_is_told_once_unless_it_ran_twice(ended):
    account = ended("ingest", outcome="current")
    account.done(account.steps[0])
    assert len(account.steps) == 1
    account.done(account.steps[0].model_copy(update={"outcome": "ran"}))
    assert len(account.steps) == 2


def test_a_step_that_ended_well_at_a_second_try_has_not_failed(ended):
    account = ended("ingest")
    for _ in range(2):
        with account.log("clean") as log:
            log.line("clean: begins")
        account.failed("clean", 1.0, StepError("the store did not answer; try again"))
    account.done(account.steps[0].model_copy(update={"step": "clean"}))
    assert (account.failed_step, account.failure) == ("", None)
    assert (account.folder / "clean.log").read_text() == 2 * "clean: begins\n"


def test_ctrl_c_is_no_failure(told: list[Account]):
    with pytest.raises(KeyboardInterrupt), account("pipeline"):
        raise KeyboardInterrupt
    assert told[0].stopped


def test_a_run_is_named_after_its_flow_run(tmp_path: Path):
    assert run_name("amber-otter", "1", tmp_path) == "amber-otter"
    assert run_name("../../etc/passwd", "1", tmp_path) == "etc-passwd"
    assert run_name("...", "1", tmp_path) == "1"


def test_another_run_of_the_same_name_gets_a_folder_of_its_own(tmp_path: Path):
    (tmp_path / "amber-otter").mkdir()
    (tmp_path / "amber-otter" / ID_FILE).write_text("1")
    assert run_name("amber-otter", "1", tmp_path) == "amber-otter"
    assert run_name("amber-otter", "2", tmp_path).endswith("-amber-otter")
    assert run_name("measured", "2", tmp_path).endswith("-measured")


def test_outside_a_flow_run_the_flow_names_the_run(settings: Settings):
    found = account_module.Account.of_run("pipeline", settings)
    assert (found.run, found.folder) == ("pipeline", settings.runs / "pipeline")
