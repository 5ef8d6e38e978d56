"""What the nightly flow decides by."""

from datetime import UTC, datetime, timedelta

import pendulum
import pytest

from flows.night import Start, base_of, describe_lateness, ending, read_base, set_base
from infra.settings import Settings
from tasks import params
from tasks.distribution.publish import PublishedRelease

DUE = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)


def test_a_start_within_the_limit_is_no_late_one():
    assert describe_lateness(DUE, at_most=timedelta(hours=3), now=DUE + timedelta(hours=3)) == ""
    assert describe_lateness(DUE, at_most=timedelta(hours=3), now=DUE - timedelta(seconds=1)) == ""


def test_a_start_after_downtime_says_how_late_it_is_and_what_to_do():
    for due in (DUE, pendulum.instance(DUE)):  # Prefect says it in pendulum's times
        said = describe_lateness(due, at_most=timedelta(hours=3), now=DUE + timedelta(hours=7.5))
        assert "due at 2026-11-24 02:00 UTC" in said
        assert "7.5 h late, more than the 3 h" in said
        assert "abcd nightly" in said


@pytest.mark.parametrize(
    ("start", "base"), [(Start.CHAMPION, "champion"), (Start.SCRATCH, None), (Start.WATCH, "docs@v3")]
)
def test_what_to_start_from_is_written_into_the_params(tmp_path, start, base):
    path = tmp_path / "params.yaml"
    path.write_text("blueprint:\n  preset: nano\ndiscover:\n  sources: [docs] # here\n  base: docs@v3\n")
    before, settings = path.read_text(), Settings(workspace=tmp_path)
    set_base(settings, base_of(start, read_base(settings)))
    assert params.load(path).discover.base == base
    assert "# here" in path.read_text()
    set_base(settings, "docs@v3")  # as a night does that finds nothing new
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("decision", "is_champion", "name"),
    [("promote", True, "Promoted"), ("promote", False, "Kept"), ("refuse", False, "Refused"),
     ("ask", False, "Left to a person")],
)  # fmt: skip
def test_the_end_says_what_became_of_the_release(decision, is_champion, name):
    release = PublishedRelease(
        name="docs", version=4, is_new=True, decision=decision, reasons=("because of this",),
        is_champion=is_champion, bits_per_byte=2.0, weights_sha256="0" * 64,
    )  # fmt: skip
    state = ending(release)
    assert state.is_completed()
    assert state.name == name
    assert state.message.startswith("docs@v4: ")
    assert "because of this" in state.message
