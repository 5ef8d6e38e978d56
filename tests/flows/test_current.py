"""One look at the graph spares DVC's start for steps that have nothing to do, and is forgotten when it may be wrong."""

import pytest

from flows import current
from flows.graph import StaleUpstreamError
from infra.lock import workspace_lock
from infra.settings import Settings
from tasks.__main__ import STEPS


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """What each look at the graph finds stale: the last entry from now on; one is added a look."""
    found: list[set[str]] = [set()]

    def look(steps: list[str], settings: Settings) -> dict[str, list[object]]:
        assert steps == list(STEPS)
        found.append(found[-1])
        return {step: ["changed command"] for step in found[-1]}

    monkeypatch.setattr(current, "stale_steps", look)
    monkeypatch.setattr(current, "_last", current._Look())
    return found


def test_all_steps_are_known_by_one_look(looks: list[set[str]], settings: Settings):
    with workspace_lock(settings.state, what="a run"):
        assert all(current.is_current(step, settings) for step in STEPS)
    assert len(looks) == 2


def test_what_comes_after_a_stale_step_is_not_known(looks: list[set[str]], settings: Settings):
    looks.append({"train", "gate"})
    with workspace_lock(settings.state, what="a run"):
        known = [step for step in STEPS if current.is_current(step, settings)]
    assert known == list(STEPS)[: list(STEPS).index("train")]


def test_nothing_is_known_after_a_step_that_ran(looks: list[set[str]], settings: Settings):
    with workspace_lock(settings.state, what="a run"):
        assert current.is_current("blueprint", settings)
        current.note("ran", looked_again=False)
        assert not any(current.is_current(step, settings) for step in STEPS)
    assert len(looks) == 2


def test_a_look_at_the_sources_is_followed_by_another_look_at_the_graph(looks: list[set[str]], settings: Settings):
    with workspace_lock(settings.state, what="a run"):
        assert current.is_current("blueprint", settings)
        looks.append({"ingest"})
        current.note("ran", looked_again=True)
        assert not current.is_current("ingest", settings)


def test_the_next_run_looks_for_itself_and_without_the_lock_nothing_is_known(looks: list[set[str]], settings: Settings):
    for _ in range(2):
        with workspace_lock(settings.state, what="a run"):
            assert current.is_current("pack", settings)
    assert len(looks) == 3
    assert not current.is_current("pack", settings)


def test_where_dvc_cannot_tell_the_step_itself_is_asked(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    def fail(steps: list[str], settings: Settings) -> dict[str, list[object]]:
        raise StaleUpstreamError("`dvc status` failed: dvc.yaml is no YAML")

    monkeypatch.setattr(current, "stale_steps", fail)
    with workspace_lock(settings.state, what="a run"):
        assert not current.is_current("pack", settings)
