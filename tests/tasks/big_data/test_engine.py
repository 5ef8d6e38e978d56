"""Work on all cores: results in order, large ones by way of files, nothing left of a process or a file."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from infra.processes import is_running
from tasks.big_data.beside import from_files, kept_in_files
from tasks.big_data.engine import OnCores, engine
from tasks.report import StepError

LARGE = 1 << 20


def square(number: int) -> tuple[int, int]:
    time.sleep(0.05)  # so that one process cannot do all before the other has started
    return number * number, os.getpid()


def many_bytes(number: int) -> dict[str, object]:
    time.sleep(0.05)
    return {"number": number, "large": bytes([number]) * LARGE, "small": b"small"}


def in_arrow(number: int) -> pa.Buffer:
    return pa.py_buffer(bytes([number]) * LARGE)


def dies(number: int) -> int:
    time.sleep(0.05)
    if os.environ.get("ABCD_TEST_PID") != str(os.getpid()):
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fails(number: int) -> int:
    time.sleep(0.05)
    if number == 20:
        raise StepError("twenty")
    return number


def test_results_come_in_order_from_this_process_and_others(tmp_path):
    with OnCores(3, tmp_path) as where:
        results = list(where.map(square, iter(range(60)), in_python=True))
    assert [result for result, _ in results] == [number * number for number in range(60)]
    pids = {pid for _, pid in results}
    assert os.getpid() in pids
    assert len(pids) > 1
    assert not any(is_running(pid) for pid in pids - {os.getpid()})


def test_a_few_items_are_done_here(tmp_path):
    with OnCores(3, tmp_path) as where:
        assert {pid for _, pid in where.map(square, range(4), in_python=True)} == {os.getpid()}


def test_large_bytes_come_as_files_that_last_until_the_next_result(tmp_path):
    before = None
    with OnCores(2, tmp_path) as where:
        for number, result in enumerate(where.map(many_bytes, range(30), in_python=True)):
            assert before is None or not before.exists()
            large, before = result["large"], None
            if isinstance(large, Path):
                large, before = large.read_bytes(), large
            assert (result["number"], result["small"]) == (number, b"small")
            assert large == bytes([number]) * LARGE
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("work", [many_bytes, in_arrow])
def test_what_is_written_is_what_is_read(tmp_path, work):
    result, files = from_files(kept_in_files(work, 3, tmp_path))
    assert [file.read_bytes() for file in files] == [b"\3" * LARGE]
    assert files == [result["large"] if isinstance(result, dict) else result]


def test_an_error_of_the_work_is_the_error_of_the_step(tmp_path):
    with pytest.raises(StepError, match="twenty"), OnCores(2, tmp_path) as where:
        list(where.map(fails, range(30), in_python=True))


def fails_from_ten(number: int) -> int:
    time.sleep(0.02)
    if number >= 10:
        raise StepError(f"at {number}")
    return number


def test_the_first_error_is_raised_after_all_results_before_it(tmp_path):
    with OnCores(3, tmp_path) as where:
        results = where.map(fails_from_ten, range(40), in_python=True)
        assert [next(results) for _ in range(10)] == list(range(10))
        with pytest.raises(StepError, match=r"^at 10$"):
            next(results)


def test_a_killed_process_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("ABCD_TEST_PID", str(os.getpid()))
    with pytest.raises(StepError, match=r"was killed.*ABCD_WORKERS=1"), OnCores(2, tmp_path) as where:
        list(where.map(dies, range(30), in_python=True))


def test_the_settings_say_where(workspace):
    with engine(workspace.settings(workers=2)) as where:
        assert isinstance(where, OnCores)
    assert not list(workspace.settings().cache.glob("beside-*"))


_PARENT = """
import sys, time
from pathlib import Path
from tests.tasks.big_data.test_engine import square
from tasks.big_data.engine import OnCores
if __name__ == "__main__":
    with OnCores(2, Path(sys.argv[1])) as where:
        for _, pid in where.map(square, range(100_000), in_python=True):
            print(pid, flush=True)
"""


def test_other_processes_end_with_the_first(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(_PARENT)
    with subprocess.Popen(
        [sys.executable, script, tmp_path], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        other = next(pid for pid in map(int, parent.stdout) if pid != parent.pid)
        parent.kill()
    until = time.monotonic() + 30
    while is_running(other) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(other)
