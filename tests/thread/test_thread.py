"""The whole thread in a clone: run, no-op, exactly what depends, the same bytes again, releases, kills."""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tasks.__main__ import STEPS
from tests.conftest import Clone
from tests.processes import alive_after, command_line
from tests.receiver import receiving
from tests.thread.conftest import Watch

pytestmark = pytest.mark.thread

ALGORITHM_TO_END = ["blueprint", "train", "evaluate", "export", "gate"]


def ran(output: str) -> list[str]:
    """Steps that DVC ran or restored, in order."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith(("Running stage", "Stage '"))
            and "didn't change" not in line]  # fmt: skip


def weights(clone: Clone) -> str:
    return hashlib.sha256((clone.root / "artifacts/train/model.safetensors").read_bytes()).hexdigest()


def releases(clone: Clone) -> list[dict]:
    return json.loads(clone.run("abcd", "releases", "--json"))


def test_a_run_ends_with_a_published_release(clone: Clone, first_run: tuple[str, Watch]):
    said, _ = first_run
    assert [step for step in STEPS if f"✓ {step}" not in said] == []
    assert "notes@v1" in said
    assert "abcd sample" in said
    assert [release["reference"] for release in releases(clone)] == ["notes@v1"]


def test_a_run_talks_to_loopback_only_and_leaves_nothing_running(first_run: tuple[str, Watch]):
    _, watch = first_run
    assert watch.processes > 5
    assert {
        ip for ip in watch.addresses if not ip.startswith("127.") and ip not in ("::1", "::ffff:127.0.0.1")
    } == set()
    assert not watch.root.is_running()


def test_the_prefect_run_has_logs_progress_reports_and_pictures(first_run: tuple[str, Watch], prefect_url: str):
    def post(path: str, **body: object) -> list[dict]:
        return httpx.post(f"{prefect_url}/{path}/filter", json=body, trust_env=False).raise_for_status().json()

    flows = {run["name"]: run for run in post("flow_runs")}
    assert {run["state_type"] for run in flows.values()} == {"COMPLETED"}
    assert len(flows) == 5
    reports = {artifact["key"]: artifact for artifact in post("artifacts")}
    assert {f"{step}-report" for step in STEPS} <= set(reports)
    assert "data:image/png;base64," in reports["train-report"]["data"]
    assert "data:image/png;base64," in reports["evaluate-report"]["data"]
    assert reports["train-progress"]["type"] == "progress"
    assert any("Running stage 'train'" in line["message"] for line in post("logs"))


def test_what_a_person_sees_first_is_the_summary_with_pictures(
    clone: Clone, first_run: tuple[str, Watch], prefect_url: str
):
    """The UI lists a flow run's own artifacts before those of its tasks, results left out: here it is one."""
    said, _ = first_run
    report = Path(said.partition("report     ")[2].splitlines()[0])
    query = {
        "flow_runs": {"name": {"any_": [report.parent.name]}},
        "artifacts": {"type": {"not_any_": ["result"]}},
    }
    answer = httpx.post(f"{prefect_url}/artifacts/filter", json=query, trust_env=False).raise_for_status().json()
    [first] = [artifact for artifact in answer if not artifact["task_run_id"]]
    assert first["key"] == "summary"
    assert first["data"].startswith("# notes@v1 waits for your decision")  # few documents are held out
    for part in ("What was asked", "What it cost", "Steps", "Data", "Curves", "tokens a second"):
        assert part in first["data"]
    assert first["data"].count("data:image/png;base64,") == 4
    assert "notes@v1 waits for your decision" in report.read_text(encoding="utf-8")
    assert (report.parent / "data_docs" / "index.html").is_file()
    assert "tasks train" in (report.parent / "train.log").read_text(encoding="utf-8")


def test_a_second_repro_runs_nothing(clone: Clone, first_run: tuple[str, Watch]):
    assert ran(clone.run("dvc", "repro")) == []
    assert "up to date" in clone.run("dvc", "status")


def test_a_second_run_trains_nothing_and_names_the_same_release(
    clone: Clone, first_run: tuple[str, Watch], prefect_url: str
):
    before = weights(clone)
    said = clone.run("abcd", "run", PREFECT_API_URL=prefect_url)
    assert "= train" in said
    assert "notes@v1" in said
    assert len(releases(clone)) == 1
    assert weights(clone) == before


@pytest.mark.long
def test_forced_training_gives_the_same_bytes_with_real_steps(clone: Clone, first_run: tuple[str, Watch]):
    before, report = weights(clone), clone.root / "artifacts/train/report.json"
    assert ran(clone.run("dvc", "repro", "-f", "-s", "train")) == ["train"]
    assert weights(clone) == before
    assert json.loads(report.read_text())["facts"]["steps"] > 0


def test_a_clean_threshold_runs_what_depends_on_it(clone: Clone, first_run: tuple[str, Watch]):
    kept = (clone.root / "params.yaml").read_text()
    (clone.root / "params.yaml").write_text(kept.replace("min_characters: null", "min_characters: 2000"))
    try:
        assert ran(clone.run("dvc", "repro", "pack")) == ["clean", "privacy", "dedup", "validate", "tokenizer", "pack"]
    finally:
        (clone.root / "params.yaml").write_text(kept)
    assert ran(clone.run("dvc", "repro")) == ["clean", "privacy", "dedup", "validate", "tokenizer", "pack"]  # restored


def test_a_stage_alone_checks_that_its_upstream_is_current(
    clone: Clone, first_run: tuple[str, Watch], prefect_url: str
):
    kept = (clone.root / "params.yaml").read_text()
    (clone.root / "params.yaml").write_text(kept.replace("min_characters: null", "min_characters: 2000"))
    code = "from flows.compute import compute; compute()"
    try:
        said = clone.run("python", "-c", code, code=1, PREFECT_API_URL=prefect_url)
    finally:
        (clone.root / "params.yaml").write_text(kept)
    assert "not current: clean: " in said
    assert "run `abcd run` or `dvc repro` first" in said


def test_a_killed_flow_takes_all_with_it_and_the_next_run_goes_on_from_a_checkpoint(
    clone: Clone, first_run: tuple[str, Watch], prefect_url: str
):
    """Also: one changed value runs exactly the steps that depend on it."""
    environment = {"PREFECT_API_URL": prefect_url, "ABCD_CHECKPOINT_STEPS": "10"}
    process = clone.start("abcd", "run", "--set", "train.learning_rate=0.01", **environment)
    checkpoints = clone.root / "runs" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.rglob("*.safetensors")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no checkpoint was written"
        time.sleep(0.05)
    tree = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(tree) > 5
    assert alive_after([member.pid for member in tree], 5) == []
    assert not (clone.root / "artifacts/train").exists()

    clone.run("abcd", "gc", "--yes")
    assert json.loads(clone.run("abcd", "gc", "--json"))["size"] == 0
    assert list(checkpoints.rglob("*.safetensors")), "gc removed what the next run resumes from"
    said = clone.run("dvc", "repro", **environment)
    assert ran(said) == ["train", "evaluate", "export", "gate"]
    assert "continuing after step" in said
    resumed = weights(clone)
    said = clone.run("dvc", "repro", "-f", "-s", "train")
    assert weights(clone) == resumed
    assert "continuing" not in said


def test_after_gc_nothing_is_made_again_and_every_release_is_whole(
    clone: Clone, first_run: tuple[str, Watch], tmp_path: Path
):
    clone.run("abcd", "gc", "--yes", "--remote")
    assert json.loads(clone.run("abcd", "gc", "--json", "--remote"))["size"] == 0
    assert ran(clone.run("dvc", "repro")) == []
    for release in releases(clone):
        clone.run("abcd", "pull", release["reference"], "--to", str(tmp_path / release["reference"]))
    assert "no problem" in clone.run("abcd", "verify")


def test_ctrl_c_stops_the_run_and_its_server(clone: Clone, first_run: tuple[str, Watch]):
    process = clone.start("abcd", "run")
    deadline = time.monotonic() + 60
    while not [c for c in psutil.Process(process.pid).children(recursive=True) if "dvc" in command_line(c.pid)]:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no step was started"
        time.sleep(0.05)
    tree = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    assert alive_after([member.pid for member in tree], 5) == []
    assert process.returncode == 130, said


def test_a_release_can_be_shown_pulled_verified_and_sampled(clone: Clone, first_run: tuple[str, Watch], tmp_path: Path):
    record = json.loads(clone.run("abcd", "show", "notes@v1", "--json"))
    assert record["record"]["params"]
    said = clone.run("abcd", "pull", "notes@v1", "--to", str(tmp_path / "model"))
    assert "every byte verified" in said
    assert (tmp_path / "model" / "config.json").is_file()
    assert "no problem" in clone.run("abcd", "verify")
    assert "def " in clone.run("abcd", "sample", "def ", "--release", "notes@v1")
    blob = next((clone.root / ".abcd/registry/blobs/sha256").iterdir())
    whole = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        said = clone.run("abcd", "verify", code=1)
        assert blob.name in said
        assert "restore those files from a copy" in said
    finally:
        blob.write_bytes(whole)


@pytest.mark.parametrize("content", ["nothing", "binaries"])
def test_a_bad_source_ends_with_a_clear_error_and_nothing_half_written(
    clone: Clone, first_run: tuple[str, Watch], prefect_url: str, tmp_path: Path, content: str
):
    source = tmp_path / "empty"
    source.mkdir()
    if content == "binaries":
        (source / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(200))
    kept = (clone.root / "params.yaml").read_text()
    with receiving() as receiver:
        url = f"http://127.0.0.1:{receiver.server_port}/hook"
        save = f"from prefect.blocks.webhook import Webhook; Webhook(url={url!r}).save('team', overwrite=True)"
        clone.run(sys.executable, "-c", save, PREFECT_API_URL=prefect_url)
        environment = {"PREFECT_API_URL": prefect_url, "ABCD_NOTIFY": "block:webhook/team"}
        try:
            said = clone.run("abcd", "run", "--source", str(source), code=1, **environment)
        finally:
            (clone.root / "params.yaml").write_text(kept)
    [posted] = receiver.posted
    assert posted["state"] == "failed"
    assert source.name in posted["text"]
    assert "error:" in said
    assert str(source.name) in said
    assert "Traceback" not in said
    report = Path(said.partition("report     ")[2].splitlines()[0]).read_text(encoding="utf-8")
    assert "failed at discover" in report
    assert source.name in report
    assert not list((clone.root / "artifacts").glob(".*.new"))


def test_doctor_finds_this_machine_fit(clone: Clone):
    findings = json.loads(clone.run("abcd", "doctor", "--json"))
    assert {f["what"] for f in findings} >= {"disk", "memory", "cores", "gpu", "git", "lock", "ports"}
    assert [f for f in findings if f["state"] == "fail"] == []
