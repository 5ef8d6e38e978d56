"""Whereabouts come from ABCD_* variables; everything else lives under .abcd in the workspace."""

from pathlib import Path

import pytest

from infra.settings import Settings, SettingsError, WorkspaceError
from infra.workspace import source_parameter


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "clone"
    (root / ".git").mkdir(parents=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(root)
    return root


def test_state_lives_in_the_workspace_unless_moved(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ABCD_REGISTRY", "s3://bucket/registry")
    monkeypatch.setenv("ABCD_REMOTE", "../store")
    settings = Settings.load()
    assert settings.registry == "s3://bucket/registry"
    assert settings.remote == str(workspace / "../store")
    assert settings.keys == workspace / ".abcd" / "keys"
    assert settings.artifacts == workspace / "artifacts"


def test_the_workspace_is_found_from_below(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(workspace / "deep" / "er")
    assert Settings.load().workspace == workspace


def test_outside_a_workspace_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkspaceError, match=r"no dvc.yaml here or above; change to a git clone"):
        Settings.load()


def test_a_folder_without_git_is_no_workspace(workspace: Path):
    (workspace / ".git").rmdir()
    with pytest.raises(WorkspaceError, match=r"no git clone.*git init"):
        Settings.load()


def test_an_impossible_value_names_its_variable(workspace: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ABCD_WORKERS", "many")
    with pytest.raises(SettingsError, match="ABCD_WORKERS: found 'many'"):
        Settings.load()


@pytest.mark.parametrize(
    ("given", "kept"),
    [("python:stdlib", "python:stdlib"), ("s3://bucket/a", "s3://bucket/a"), ("notes", "deep/notes")],
)
def test_sources_are_kept_relative_to_their_root(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, given: str, kept: str
):
    monkeypatch.chdir(workspace / "deep")
    assert source_parameter(given, Settings.load()) == kept


def test_the_page_of_settings_names_each_with_its_meaning():
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    for name, field in Settings.model_fields.items():
        assert f"| `ABCD_{name.upper()}` | {field.description} |" in page
