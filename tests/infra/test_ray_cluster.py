"""A Ray on this machine: what it leaves, what is said when there is none."""

from pathlib import Path

import pytest
from filelock import FileLock

from infra import ray_cluster
from infra.settings import Settings


def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(ray_cluster, "LOCAL_FOLDERS", str(tmp_path / "abcd-ray-"))
    for name in ("abcd-ray-dead", "abcd-ray-running", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "lock").touch()
    with FileLock(tmp_path / "abcd-ray-running" / "lock"), ray_cluster._folder(Settings(workspace=tmp_path)) as folder:
        (folder / "session").mkdir()
        assert {path.name for path in tmp_path.iterdir()} == {"abcd-ray-running", "other", folder.name}
    assert {path.name for path in tmp_path.iterdir()} == {"abcd-ray-running", "other"}


def test_on_a_cluster_rays_folder_is_one_that_all_machines_share(tmp_path: Path):
    settings = Settings(workspace=tmp_path, ray_address="ray.example:6379")
    with ray_cluster._folder(settings) as folder:
        assert folder.is_relative_to(settings.runs)
    assert not folder.exists()


def test_a_ray_that_does_not_start_is_said_with_what_to_do(tmp_path: Path, monkeypatch):
    import ray

    def fail(**_options):
        raise Exception("The current node timed out during startup.")  # as Ray raises it

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(
        ray_cluster.ClusterError, match=r"did not start on this machine: The current node timed out.*start the step"
    ):
        ray_cluster._connect(Settings(workspace=tmp_path), tmp_path, ray_cluster.LEAST_STORE_BYTES)
