"""What a step writes is kept."""

from pathlib import Path

from flows.step_log import TAIL_LINES, StepLog


def test_a_log_is_kept_whole_and_its_end_at_hand(tmp_path: Path):
    with StepLog(tmp_path / "otter" / "train.log") as log:
        for number in range(TAIL_LINES + 5):
            log.line(f"line {number}")
    assert len(log.path.read_text().splitlines()) == TAIL_LINES + 5
    assert log.tail[0] == "line 5"


def test_a_log_that_cannot_be_kept_fails_nothing(tmp_path: Path, warnings_of):
    (tmp_path / "otter").write_text("a file where the folder should be")
    with StepLog(tmp_path / "otter" / "train.log") as log:
        log.line("line")
    assert list(log.tail) == ["line"]
    assert "is not kept" in warnings_of()[0]
