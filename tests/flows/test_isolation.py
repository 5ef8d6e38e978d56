"""Deployed runs, started as in the UI: each in a checkout of its commit, side by side, unseen by each other."""

import json
from collections.abc import Iterator

import pytest

from tests.conftest import Clone, make_clone
from tests.platforms import Platform

pytestmark = [pytest.mark.thread, pytest.mark.long]
BROKEN = "raise SystemExit('the working tree was imported')\n"
BESIDE = """\
  - name: beside
    entrypoint: flows/algorithm.py:algorithm
    work_pool: *pool
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with two commits of other params, a deployment without a limit, and edits that break every import."""
    clone = make_clone(tmp_path_factory.mktemp("isolation") / "abcd")
    with (clone.root / "prefect.yaml").open("a") as file:
        file.write(BESIDE)
    params = clone.root / "params.yaml"
    for branch, experts in (("four", 4), ("six", 6)):
        clone.run("git", "switch", "-qc", branch)
        text = params.read_text()
        before = next(line for line in text.splitlines() if line.strip().startswith("n_experts:"))
        params.write_text(text.replace(before, f"  n_experts: {experts}"))
        clone.run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qam", branch)
    return clone


@pytest.fixture(scope="module")
def platform(workspace: Clone) -> Iterator[Platform]:
    platform = Platform(workspace)
    platform.up()
    for name in ("flows/algorithm.py", "tasks/algorithm/blueprint.py"):
        (workspace.root / name).write_text(BROKEN)
    yield platform
    platform.down()


def start(platform: Platform, commit: str) -> str:
    """Press Run with the job variable that names a commit."""
    [found] = platform.call("/deployments/filter", {"deployments": {"name": {"any_": ["beside"]}}})
    body = {"state": {"type": "SCHEDULED"}, "job_variables": {"env": {"ABCD_COMMIT": commit}} if commit else {}}
    return str(platform.call(f"/deployments/{found['id']}/create_flow_run", body)["id"])


def test_two_runs_at_once_are_each_of_their_own_commit(workspace: Clone, platform: Platform):
    runs = {commit: start(platform, commit) for commit in ("four", "six", "")}
    for run in runs.values():
        assert platform.wait_for(run)["type"] == "COMPLETED", platform.log(run)
    experts = {}
    for commit, run in runs.items():
        checkout = workspace.root / ".abcd" / "checkouts" / run
        blueprint = json.loads((checkout / "artifacts" / "blueprint" / "blueprint.json").read_text())
        experts[commit] = blueprint["shape"]["n_experts"]
    assert experts == {"four": 4, "six": 6, "": 6}
    assert not (workspace.root / "artifacts" / "blueprint").exists()
    assert "left out: flows/algorithm.py, tasks/algorithm/blueprint.py" in platform.log(runs[""])
    assert "left out" not in platform.log(runs["four"])


def test_their_records_are_listed_and_kept(workspace: Clone, platform: Platform):
    listed = json.loads(workspace.run("abcd", "runs", "--json"))
    assert [run["state"] for run in listed] == ["ended"] * 3
    assert len({run["commit"] for run in listed}) == 2
    refs = workspace.run("git", "for-each-ref", "--format=%(refname)", "refs/abcd/runs").split()
    assert sorted(refs) == sorted(f"refs/abcd/runs/{run['run']}" for run in listed)
    assert workspace.run("git", "status", "--porcelain").split() == [
        "M", "flows/algorithm.py", "M", "tasks/algorithm/blueprint.py",
    ]  # fmt: skip
