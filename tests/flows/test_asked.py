"""What was asked of a run is what params.yaml and git say."""

from pathlib import Path

from flows.asked import Change, asked
from infra.settings import Settings
from tasks.params import override
from tests.conftest import Clone


def commit(root: Path) -> Clone:
    clone = Clone(root)
    (root / ".git").rmdir()
    (root / ".gitignore").write_text("/runs/\n/artifacts/\n")
    clone.run("git", "init", "-q")
    clone.run("git", "add", ".")
    clone.run("git", "-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", "start")
    return clone


def test_values_that_are_not_the_commit_s_are_told_and_so_are_edits(settings: Settings):
    root = settings.workspace
    clone = commit(root)
    params = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(params.replace("n_experts: null", "n_experts: 8"))
    (root / "new.py").write_text("")
    (root / "dvc.lock").write_text("")
    found = asked(settings)
    assert found.changes == (Change(key="blueprint.n_experts", before="as in the preset", now="8"),)
    assert found.commit == clone.run("git", "rev-parse", "HEAD").strip()
    assert found.uncommitted == "1 file that is not committed"
    assert found.name == "python-stdlib"
    assert found.sources == ("python:stdlib",)


def test_what_cannot_be_read_is_left_out(settings: Settings):
    commit(settings.workspace)
    (settings.workspace / "params.yaml").write_text("a: [\n")
    found = asked(settings)
    assert (found.name, found.sources, found.changes) == ("", (), ())
    assert found.commit


def test_without_any_commit_there_is_none(settings: Settings):
    (settings.workspace / ".git").rmdir()
    Clone(settings.workspace).run("git", "init", "-q")
    found = asked(settings)
    assert found.commit == ""
    assert found.changes


def test_what_is_said_of_a_source_is_told(settings: Settings):
    commit(settings.workspace)
    file = settings.workspace / "params.yaml"
    override(file, [("discover.sources", ["docs", {"uri": "log.csv", "metadata": ["id", "asset"]}])])
    found = asked(settings)
    now = "docs, (uri log.csv, metadata id, asset)"
    assert found.changes == (Change(key="discover.sources", before="python:stdlib", now=now),)
    assert found.sources == ("docs", "log.csv")
