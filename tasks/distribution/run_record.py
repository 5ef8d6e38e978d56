"""A run that ended, however it ended -> `<run>/record.json` and the git ref `refs/abcd/runs/<run>`.

The ref is a commit on top of the run's own, with its params.yaml, dvc.lock and record: it is made with git's plumbing
and an index of its own, so that no branch, no index and no file of the workspace is touched.
"""

import io
import json
import re
import tempfile
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from infra.outputs import outputs_of
from infra.settings import Settings
from tasks.__main__ import STEPS
from tasks.distribution.code_state import CodeState, code_state, git
from tasks.distribution.record import manifest_of, versions
from tasks.report import StepError, read_json, write_json

RECORD_FILE = "record.json"
RUN_REFS = "refs/abcd/runs/"
# Written anew by `abcd adopt`.
ADOPTED = ("params.yaml", "dvc.lock")
_AUTHOR = {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
           for what, value in (("NAME", "abcd"), ("EMAIL", "abcd@localhost"))}  # fmt: skip

State = Literal["released", "kept", "asks", "refused", "failed", "stopped", "ended"]


class RunRecord(BaseModel):
    """All that a run was made of and what came of it: enough to adopt it or to make it again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    run: str
    flow: str
    state: State = Field(description="released: with a champion; kept, asks, refused: with a release that is none")
    said: str = Field(description="the error of a failed run, the gate's reasons of one with a release")
    release: str | None = Field(description="NAME@vN")
    started_at: str = Field(description="UTC")
    ended_at: str = Field(description="UTC")
    code: CodeState
    params: str
    dvc_lock: str = Field(description="of the steps that ended well; empty: of none")
    manifest: dict[str, Any] | None = Field(description="digest and number of sources; null: there was none")
    outputs: dict[str, dict[str, str]] = Field(description="digest of each output path of each step")
    verdict: dict[str, Any] | None = Field(description="the gate's; null: it was not reached")
    versions: dict[str, str]


def keep_run(
    settings: Settings, folder: Path, *, flow: str, state: State, said: str, release: str | None, started: datetime,
    ended_steps: Collection[str],
) -> RunRecord:  # fmt: skip
    """Write the record of the run that ends now into its folder, and its ref.

    Args:
        settings: of the workspace that it worked in.
        folder: its own, for the record.
        flow: name of the flow.
        state: how it ended.
        said: why.
        release: NAME@vN, if there is one.
        started: when.
        ended_steps: those that it brought up to date; what the workspace has of later ones is another run's.

    Raises:
        StepError: git refuses.
    """
    lock = _up_to(ended_steps, _text(settings.workspace / "dvc.lock"))
    discover = settings.artifacts / "discover"
    verdict = settings.artifacts / "gate" / "verdict.json"
    record = RunRecord(
        run=folder.name,
        flow=flow,
        state=state,
        said=said,
        release=release,
        started_at=started.isoformat(timespec="seconds"),
        ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code=code_state(settings.workspace),
        params=_text(settings.workspace / "params.yaml"),
        dvc_lock=lock,
        manifest=manifest_of(discover / "sources.jsonl") if (discover / "sources.jsonl").is_file() else None,
        outputs=outputs_of(lock) if lock else {},
        verdict=read_json(verdict) if release and verdict.is_file() else None,
        versions=versions(),
    )
    write_json(folder / RECORD_FILE, record.model_dump(mode="json"))
    if record.code.commit:
        _write_ref(settings.workspace, record)
    return record


def _up_to(ended_steps: Collection[str], lock: str) -> str:
    """A `dvc.lock` without the steps after the last one that ended; empty: none did."""
    if not lock or not ended_steps:
        return ""
    order = list(STEPS)
    kept = set(order[: max(map(order.index, ended_steps)) + 1])
    tree = YAML(typ="safe").load(lock)
    if tree["stages"].keys() <= kept:
        return lock
    tree["stages"] = {step: entry for step, entry in tree["stages"].items() if step in kept}
    text = io.StringIO()
    YAML().dump(tree, text)
    return text.getvalue()


def ref_of(run: str) -> str:
    """Name of a run's git ref."""
    return RUN_REFS + re.sub(r"\.{2,}|\.lock$|[^\w.-]", "-", run)


def list_runs(settings: Settings) -> list[RunRecord]:
    """Runs whose record is here or in a ref, the newest first."""
    found: dict[str, RunRecord] = {}
    for name in git(settings.main, "for-each-ref", "--format=%(refname)", RUN_REFS).split():
        record = _parse(git(settings.main, "show", f"{name}:{RECORD_FILE}", may_fail=True))
        found |= {record.run: record} if record else {}
    for file in settings.records.glob(f"*/{RECORD_FILE}"):
        record = _parse(_text(file))
        found |= {record.run: record} if record else {}
    return sorted(found.values(), key=lambda record: record.ended_at, reverse=True)


def find_run(settings: Settings, run: str) -> RunRecord:
    """The record of one run.

    Raises:
        StepError: there is none of that name.
    """
    record = _parse(_text(settings.records / run / RECORD_FILE))
    record = record or _parse(git(settings.main, "show", f"{ref_of(run)}:{RECORD_FILE}", may_fail=True))
    if record is None:
        known = ", ".join(each.run for each in list_runs(settings)[:10]) or "none yet"
        raise StepError(f"no run {run!r}: it has no record in {settings.records} and no git ref; there are: {known}")
    return record


def _write_ref(workspace: Path, record: RunRecord) -> None:
    assert record.code.commit
    with tempfile.TemporaryDirectory() as scratch:
        index = Path(scratch) / "index"
        git(workspace, "read-tree", record.code.commit, index=index)
        contents = {
            "params.yaml": record.params,
            "dvc.lock": record.dvc_lock,
            RECORD_FILE: json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True),
        }
        for name, text in contents.items():
            if text:
                blob = git(workspace, "hash-object", "-w", "--stdin", text=text).strip()
                git(workspace, "update-index", "--add", "--cacheinfo", f"100644,{blob},{name}", index=index)
        tree = git(workspace, "write-tree", index=index).strip()
    message = f"Run {record.run} of flow {record.flow}: {record.release or record.state}"
    made = git(
        workspace, "commit-tree", tree, "-p", record.code.commit, "-m", message, environment=_AUTHOR
    ).strip()  # fmt: skip
    git(workspace, "update-ref", ref_of(record.run), made)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _parse(text: str) -> RunRecord | None:
    try:
        return RunRecord.model_validate_json(text)
    except ValueError:
        return None


def require_commit(record: RunRecord) -> str:
    """The commit of a run.

    Raises:
        StepError: it had none.
    """
    if not record.code.commit:
        raise StepError(f"run {record.run} was made before anything was committed: there is no code to go back to")
    return record.code.commit
