"""`abcd reproduce` of a real release, on a machine that has nothing but the stores and the git remote."""

import json
from pathlib import Path

import pytest

from tasks.__main__ import STEPS
from tasks.distribution.reproduction import TAKEN
from tests.conftest import Clone
from tests.thread.conftest import Watch

pytestmark = [pytest.mark.thread, pytest.mark.long]


def test_a_release_is_the_same_bytes_with_an_empty_home_cache_and_clone(
    clone: Clone, first_run: tuple[str, Watch], tmp_path: Path
):
    clone.run("git", "clone", "-q", str(clone.root), str(tmp_path / "second"))
    second, stores = Clone(tmp_path / "second"), clone.root / ".abcd"
    said = second.run(
        "abcd", "reproduce", "notes@v1", "--json",
        HOME=str(tmp_path), ABCD_REGISTRY=str(stores / "registry"), ABCD_REMOTE=str(stores / "remote"),
    )  # fmt: skip
    found = json.loads(said[said.index("{\n") :])
    recorded = {output["step"] for output in found["outputs"]}
    assert {"train", "evaluate", "export", "gate"} <= recorded <= set(STEPS) - set(TAKEN)
    assert found["is_same"], found["outputs"]
    assert (set(found["executed"]), found["restored"]) == (recorded, [])
