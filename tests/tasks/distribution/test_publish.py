"""Publishing: one release however often and wherever it was interrupted; its record; the champion's alias."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from infra.releases import Registry, champion
from infra.settings import Settings
from infra.storage import LocalStore, content_of
from tasks.distribution import publish as publishing
from tasks.distribution.advice import Training
from tasks.distribution.catalogue import list_releases, show_release
from tasks.distribution.promotion import promote, rollback
from tasks.distribution.publish import publish
from tasks.distribution.pull import pull
from tasks.distribution.verdict import Candidate, Champion, judge_first
from tasks.distribution.verify import verify
from tasks.params import Gate
from tasks.report import Report, StepError, sha256_of, write_json

ROOT = Path(__file__).parents[3]
STEPS = (
    "blueprint",
    "discover",
    "ingest",
    "validate",
    "tokenizer",
    "pack",
    "drift",
    "train",
    "evaluate",
    "export",
    "gate",
)
NAME = "python-stdlib"


def git(folder, *arguments):
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


class Workspace:
    """Outputs of all steps, as small as can be, in a git clone; `text` stands for all that a run depends on."""

    def __init__(self, root):
        self.root = root
        self.settings = Settings(workspace=root)
        root.mkdir(parents=True)
        shutil.copyfile(ROOT / "params.yaml", root / "params.yaml")
        (root / ".gitignore").write_text("/artifacts\n/runs\n/.abcd\n")
        git(root, "init", "-q", "-b", "main")
        git(root, "add", ".")
        git(root, "-c", "user.email=a@example.org", "-c", "user.name=A", "commit", "-q", "-m", "start")
        self.make("one")

    def write(self, path, content):
        path = self.root / "artifacts" / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def make(self, text, *, decision="promote", against=None):
        for step in STEPS:
            facts = {"bits_per_byte": 1.9} if step == "evaluate" else {}
            self.write(f"{step}/output", text)
            Report(step=step, facts=facts).write(self.root / "artifacts" / step)
        self.write("discover/sources.jsonl", '{"uri": "a"}\n{"uri": "b"}\n')
        self.write("discover/base.json", "{}")
        self.write("blueprint/blueprint.json", '{"total_parameters": 10, "active_parameters": 5}')
        self.write("tokenizer/tokenizer.json", "tokenizer")
        self.write("pack/held_out.parquet", "held out")
        weights = self.write("train/model.safetensors", f"weights {text}")
        for name in ("profile.json", "known.npy", "trained.npy"):
            self.write(f"drift/{name}", f"{name} {text}")
        for name in ("config.json", "model.safetensors", "README.md"):
            self.write(f"export/{name}", f"{name} {text}")
        self.judge(decision, against=against)
        write_json(self.settings.runs / "measured" / f"{sha256_of(weights)}.json", {"hours": 0.1, "tokens": 5})
        self.lock()

    def judge(self, decision, *, against=None):
        weights = sha256_of(self.root / "artifacts" / "train" / "model.safetensors")
        mine = Candidate(weights_sha256=weights, bits_per_byte=1.9, documents=60, groups=9)
        training = Training(tokens=5, text_tokens=5, text_bytes=15)
        verdict = judge_first(mine, Gate(), byte_3gram=2.6, training=training).model_copy(
            update={"decision": decision, "promote": decision == "promote", "champion": against}
        )
        self.write("gate/verdict.json", verdict.model_dump_json())

    def lock(self):
        """What DVC would write: a digest an output."""
        stages = {}
        for step in STEPS:
            folder = self.root / "artifacts" / step
            digest = content_of(b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())).sha256
            out = {"path": f"artifacts/{step}", "hash": "md5", "md5": digest[:32] + ".dir", "size": 1}
            stages[step] = {"cmd": f"python -m tasks {step}", "outs": [out]}
        with (self.root / "dvc.lock").open("w") as file:
            YAML().dump({"schema": "2.0", "stages": stages}, file)

    def pin_champion(self):
        """As discover does when it looks again."""
        found = champion(self.settings, NAME)
        self.write("discover/champion.json", json.dumps(found))
        return Champion.model_validate(found)

    def aliases(self):
        return Registry.of(self.settings).log(NAME).aliases


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "push_data", lambda settings: None)
    return Workspace(tmp_path / "workspace")


def test_a_first_release_has_files_record_and_aliases(workspace, tmp_path):
    published = publish(workspace.settings)
    assert (published.ref, published.is_new, published.is_champion) == (f"{NAME}@v1", True, True)
    assert workspace.aliases() == {"candidate": 1, "champion": 1}
    pulled = pull(workspace.settings, f"{NAME}@champion", tmp_path / "to")
    assert sorted(path.name for path in pulled.folder.iterdir()) == [
        "README.md", "config.json", "data", "model.safetensors", "output", "report.json",
    ]  # fmt: skip
    assert verify(workspace.settings).problems == ()


def test_the_record_says_what_the_release_was_made_of(workspace):
    (workspace.root / "code.py").write_text("x = 1\n")
    publish(workspace.settings)
    shown = show_release(workspace.settings, f"{NAME}@v1")
    record = shown["record"]
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=workspace.root, text=True).strip()
    assert record["code"]["commit"] == head
    assert "+x = 1" in record["code"]["patch"]
    assert "dvc.lock" not in record["code"]["patch"]
    assert record["params"] == (ROOT / "params.yaml").read_text()
    assert record["dvc_lock"] == (workspace.root / "dvc.lock").read_text()
    artifacts = workspace.settings.artifacts
    assert record["manifest"] == {"sha256": sha256_of(artifacts / "discover" / "sources.jsonl"), "sources": 2}
    assert record["weights_sha256"] == sha256_of(artifacts / "train" / "model.safetensors")
    assert record["tokenizer_sha256"] == sha256_of(artifacts / "tokenizer" / "tokenizer.json")
    assert record["measured"] == {"hours": 0.1, "tokens": 5}
    assert set(record["reports"]) == set(STEPS)
    assert record["verdict"]["decision"] == "promote"
    assert record["versions"]["python"].startswith("3.")
    assert "torch" in record["versions"]
    assert json.loads(json.dumps(shown)) == shown


def test_what_was_not_measured_is_absent(workspace):
    shutil.rmtree(workspace.settings.runs)
    publish(workspace.settings)
    assert show_release(workspace.settings, f"{NAME}@v1")["record"]["measured"] is None


def test_uncommitted_code_is_said(workspace, caplog):
    publish(workspace.settings)
    assert "not committed" not in caplog.text
    (workspace.root / "code.py").write_text("x = 1\n")
    workspace.make("two")
    publish(workspace.settings)
    assert "not committed" in caplog.text


def test_publishing_twice_is_one_release(workspace):
    first = publish(workspace.settings)
    again = publish(workspace.settings)
    assert (again.ref, again.is_new, again.is_champion) == (first.ref, False, True)
    assert len(list_releases(workspace.settings)) == 1
    # The flow looks again, sees the new champion, and only gate runs.
    workspace.write("discover/report.json", json.dumps({"step": "discover", "facts": {"champion": 1}}))
    workspace.judge("promote", against=workspace.pin_champion())
    workspace.lock()
    entries = len(Registry.of(workspace.settings).log(NAME).entries)
    assert not publish(workspace.settings).is_new
    assert len(Registry.of(workspace.settings).log(NAME).entries) == entries


@pytest.mark.parametrize("change", ["sources.jsonl", "evaluate", "name"])
def test_other_outputs_are_another_release(workspace, change):
    publish(workspace.settings)
    if change == "sources.jsonl":
        workspace.write("discover/sources.jsonl", '{"uri": "a"}\n')
    elif change == "name":
        text = (workspace.root / "params.yaml").read_text().replace("name: null", "name: other")
        (workspace.root / "params.yaml").write_text(text)
    else:
        workspace.write(f"{change}/output", "changed")
        workspace.lock()
    assert publish(workspace.settings).is_new


@pytest.mark.parametrize("decision", ["refuse", "ask"])
def test_what_the_gate_does_not_promote_is_stored(workspace, decision):
    publish(workspace.settings)
    workspace.make("two", decision=decision, against=workspace.pin_champion())
    published = publish(workspace.settings)
    assert (published.version, published.decision, published.is_champion) == (2, decision, False)
    assert workspace.aliases() == {"candidate": 2, "champion": 1}
    assert promote(workspace.settings, f"{NAME}@candidate").ref == f"{NAME}@v2"
    assert workspace.aliases() == {"candidate": 2, "champion": 2}
    assert promote(workspace.settings, f"{NAME}@v1").ref == f"{NAME}@v1"
    assert workspace.aliases() == {"candidate": 2, "champion": 1}


def test_a_verdict_against_an_old_champion_does_not_replace_the_new_one(workspace):
    publish(workspace.settings)
    pinned = workspace.pin_champion()
    workspace.make("two", against=pinned)
    assert publish(workspace.settings).is_champion
    workspace.make("three", against=pinned)
    published = publish(workspace.settings)
    assert (published.version, published.is_champion) == (3, False)
    assert "points to v2, expected v1" in published.note
    assert "abcd discover" in published.note
    workspace.judge("promote", against=workspace.pin_champion())
    workspace.lock()
    assert publish(workspace.settings).is_champion
    assert workspace.aliases() == {"candidate": 3, "champion": 3}


def test_an_old_run_published_again_moves_no_alias_back(workspace):
    publish(workspace.settings)
    workspace.make("two", against=workspace.pin_champion())
    publish(workspace.settings)
    workspace.make("one")
    published = publish(workspace.settings)
    assert (published.version, published.is_new, published.is_champion) == (1, False, False)
    assert workspace.aliases() == {"candidate": 2, "champion": 2}


def test_what_was_rolled_back_is_not_promoted_again_by_itself(workspace):
    """v2 beats v1 and is taken back; the next night nothing changed, and the gate compares v2 with v1 again."""
    publish(workspace.settings)
    workspace.make("two", against=workspace.pin_champion())
    assert publish(workspace.settings).is_champion
    rollback(workspace.settings, NAME)
    workspace.judge("promote", against=workspace.pin_champion())
    workspace.lock()
    again = publish(workspace.settings)
    assert (again.version, again.is_new, again.is_champion) == (2, False, False)
    assert re.fullmatch(
        rf"v2 was the champion until .*, then rolled back to v1; only a person .*: abcd promote {NAME}@v2", again.note
    )
    assert workspace.aliases() == {"candidate": 2, "champion": 1}
    workspace.make("three", against=workspace.pin_champion())
    assert publish(workspace.settings).is_champion
    assert workspace.aliases() == {"candidate": 3, "champion": 3}


def test_a_person_promotes_what_was_rolled_back(workspace):
    publish(workspace.settings)
    workspace.make("two", against=workspace.pin_champion())
    publish(workspace.settings)
    rollback(workspace.settings, NAME)
    promote(workspace.settings, f"{NAME}@v2")
    workspace.judge("promote", against=workspace.pin_champion())
    workspace.lock()
    published = publish(workspace.settings)
    assert (published.is_champion, published.note) == (True, "")


def test_of_two_publishers_at_once_the_slower_is_stored_and_explained(workspace, tmp_path, monkeypatch):
    """Both were judged against v1; the other promotes between our entry and our move of the alias."""
    publish(workspace.settings)
    pinned = workspace.pin_champion()
    other = Workspace(tmp_path / "other")
    shared = {"registry": workspace.settings.registry, "keys": workspace.settings.keys}
    other.settings = Settings(workspace=other.root, **shared)
    other.make("theirs", against=pinned)
    workspace.make("ours", against=pinned)
    real = publishing.promote_as_judged

    def overtaken(*arguments):
        monkeypatch.setattr(publishing, "promote_as_judged", real)
        assert publish(other.settings).is_champion
        return real(*arguments)

    monkeypatch.setattr(publishing, "promote_as_judged", overtaken)
    ours = publish(workspace.settings)
    assert (ours.version, ours.is_new, ours.is_champion, ours.decision) == (2, True, False, "promote")
    assert "points to v3, expected v1" in ours.note
    assert workspace.aliases() == {"candidate": 3, "champion": 3}
    shown = show_release(workspace.settings, f"{NAME}@v2")
    assert "judged it against v1, but v3 had become the champion meanwhile" in shown["standing"]
    assert shown["reasons"] == list(ours.reasons)
    assert verify(workspace.settings).problems == ()


def test_a_refused_release_is_explained(workspace):
    publish(workspace.settings)
    workspace.make("two", decision="refuse", against=workspace.pin_champion())
    publish(workspace.settings)
    shown = show_release(workspace.settings, f"{NAME}@v2")
    assert shown["standing"].startswith("never champion: the gate refused it; ")
    assert shown["reasons"] == shown["record"]["verdict"]["reasons"] != []


def test_blobs_that_someone_removed_before_they_were_named_are_stored_again(workspace, monkeypatch):
    real = publishing.add_release

    def beaten(registry, key, name, **release):
        for file in (*release["files"].values(), release["record"]):
            registry.store.remove(file.blob)
        return real(registry, key, name, **release)

    monkeypatch.setattr(publishing, "add_release", beaten)
    publish(workspace.settings)
    assert verify(workspace.settings).problems == ()


@pytest.mark.parametrize("missing", ["artifacts/export/report.json", "artifacts/gate/report.json", "dvc.lock"])
def test_without_all_outputs_nothing_is_published(workspace, missing):
    (workspace.root / missing).unlink()
    with pytest.raises(StepError, match=f"{missing}.*dvc repro"):
        publish(workspace.settings)
    assert Registry.of(workspace.settings).models() == []


def test_a_verdict_on_other_weights_is_refused(workspace):
    workspace.write("train/model.safetensors", "other")
    with pytest.raises(StepError, match="the gate judged weights"):
        publish(workspace.settings)


def test_a_row_a_release(workspace):
    publish(workspace.settings)
    workspace.make("two", decision="ask", against=workspace.pin_champion())
    publish(workspace.settings)
    one, two = list_releases(workspace.settings)
    assert (one.version, one.aliases, one.decision) == (1, ("champion",), "promote")
    assert (two.version, two.aliases, two.decision) == (2, ("candidate",), "ask")
    assert (two.bits_per_byte, two.parameters) == (1.9, 10)
    artifacts = workspace.settings.artifacts
    released = [
        *(artifacts / "export").iterdir(),
        *(artifacts / "drift" / name for name in ("profile.json", "known.npy", "trained.npy")),
    ]
    assert two.size == sum(path.stat().st_size for path in released)
    assert list_releases(workspace.settings, "poems") == []


class Killed(BaseException):
    """As SIGKILL."""


def test_publish_killed_at_any_write_and_done_again_is_one_release(workspace, monkeypatch):
    """Before and after each write to the store, while the second release is made."""
    publish(workspace.settings)
    workspace.make("two", against=workspace.pin_champion())
    registry_folder = Path(workspace.settings.registry)
    start = workspace.root / "start"
    shutil.copytree(registry_folder, start)
    real = {"put": LocalStore.put, "put_if_absent": LocalStore.put_if_absent}

    def dying(name, countdown, late):
        def act(self, *arguments, **named):
            countdown[0] -= 1
            if countdown[0] == 0 and not late:
                raise Killed
            done = real[name](self, *arguments, **named)
            if countdown[0] == 0:
                raise Killed
            return done

        return act

    deaths = 0
    for operation in range(1, 100):
        for late in (False, True):
            shutil.rmtree(registry_folder)
            shutil.rmtree(workspace.settings.state / "seen")
            shutil.copytree(start, registry_folder)
            countdown = [operation]
            with monkeypatch.context() as patched:
                for name in real:
                    patched.setattr(LocalStore, name, dying(name, countdown, late))
                try:
                    publish(workspace.settings)
                except Killed:
                    deaths += 1
            published = publish(workspace.settings)
            assert (published.version, published.is_champion) == (2, True)
            assert [row.version for row in list_releases(workspace.settings)] == [1, 2]
            assert workspace.aliases() == {"candidate": 2, "champion": 2}
            assert verify(workspace.settings).problems == ()
        if countdown[0] > 0:
            break
    assert deaths >= 2 * 11  # eight files, record, entry, two aliases; what is there already is not put again
