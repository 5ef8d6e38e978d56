"""Pulling a release: complete or absent, verified, and never over something else."""

import pytest

from infra.releases import RegistryError
from tasks.distribution import pull as pulling
from tasks.distribution.pull import pull


def test_a_release_is_pulled_whole(publisher, settings, tmp_path):
    publisher.release("one")
    to = tmp_path / "deep" / "to"
    pulled = pull(settings, "novels@candidate", to)
    assert (pulled.name, pulled.version, pulled.files, pulled.already_there) == ("novels", 1, 3, False)
    assert (to / "model.safetensors").read_text() == "weights one"
    assert (to / "pictures" / "curve.png").read_text() == "png one"
    assert pulled.size == sum(path.stat().st_size for path in to.rglob("*.*") if path.is_file())
    assert [path.name for path in to.parent.iterdir()] == ["to"]


def test_pulling_again_verifies_and_writes_nothing(publisher, settings, tmp_path):
    publisher.release("one")
    pull(settings, "novels@v1", tmp_path / "to")
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert pull(settings, "novels@v1", tmp_path / "to").already_there
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


def test_an_empty_folder_is_filled(publisher, settings, tmp_path):
    publisher.release("one")
    (tmp_path / "to").mkdir()
    assert not pull(settings, "novels@v1", tmp_path / "to").already_there


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda to: (to / "config.json").write_text("{ }"), "config.json has other bytes"),
        (lambda to: (to / "config.json").unlink(), "config.json is missing"),
        (lambda to: (to / "mine.txt").write_text("precious"), "mine.txt is no file of it"),
    ],
)
def test_a_folder_with_something_else_is_refused_and_left_alone(publisher, settings, tmp_path, change, said):
    publisher.release("one")
    to = tmp_path / "to"
    pull(settings, "novels@v1", to)
    change(to)
    before = {path: path.read_bytes() for path in to.rglob("*") if path.is_file()}
    with pytest.raises(RegistryError, match=said):
        pull(settings, "novels@v1", to)
    assert {path: path.read_bytes() for path in to.rglob("*") if path.is_file()} == before


def test_a_file_in_the_way_is_refused(publisher, settings, tmp_path):
    publisher.release("one")
    (tmp_path / "to").write_text("precious")
    with pytest.raises(RegistryError, match="is a file"):
        pull(settings, "novels@v1", tmp_path / "to")
    assert (tmp_path / "to").read_text() == "precious"


def test_a_pull_that_is_interrupted_leaves_nothing(publisher, settings, tmp_path, monkeypatch):
    publisher.release("one")
    real = pulling.Registry.fetch

    def fetch(self, file, to, *, what):
        if "model" in what:
            raise KeyboardInterrupt
        real(self, file, to, what=what)

    monkeypatch.setattr(pulling.Registry, "fetch", fetch)
    with pytest.raises(KeyboardInterrupt):
        pull(settings, "novels@v1", tmp_path / "pulled" / "to")
    assert list((tmp_path / "pulled").iterdir()) == []
