"""Dockerfile and entry script: linted, no secret, no root, nothing from this machine; roles refuse what they lack."""

import os
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from tests.infra.agreement import prefect_variables
from tests.infra.manifests import INFRA, ROOT

BIN = Path(sys.executable).parent


def instructions(text: str) -> list[tuple[str, str]]:
    """Name and value of each instruction of a Dockerfile."""
    parser = DockerfileParser(fileobj=BytesIO(text.encode()))
    return [(each["instruction"], each["value"]) for each in parser.structure]


def problems(text: str) -> list[str]:
    """What is wrong with a Dockerfile, as far as one can see without building it."""
    found = instructions(text)
    said = [
        f"base {value}: not an exact version"
        for name, value in found
        if name == "FROM" and not re.match(r"python:3\.11\.\d+-slim-bookworm( AS \w+)?$", value)
    ]
    if len({value.split()[0] for name, value in found if name == "FROM"}) > 1:
        said.append("its stages have different bases")
    users = [value for name, value in found if name == "USER"]
    if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
        said.append(f"last USER is {users[-1:]}, expected a number that is not root's")
    said += [f"{name} {value}: holds a secret" for name, value in found if _holds_secret(name, value)]
    said += [f"{name} {value}: names a host" for name, value in found if "://" in value]
    said += ["ADD takes what nobody checked" for name, _ in found if name == "ADD"]
    if not any(name == "ENTRYPOINT" and "tini" in value for name, value in found):
        said.append("process 1 buries nobody")
    return said


def test_the_dockerfile_is_right():
    text = (INFRA / "Dockerfile").read_text()
    assert problems(text) == []
    assert "pip install --requirement requirements.lock" in text


def test_the_image_tells_prefect_what_it_listens_to():
    told = dict(re.findall(r"(PREFECT_\w+)=(\S+)", (INFRA / "Dockerfile").read_text()))
    assert told.keys() <= prefect_variables()
    assert told["PREFECT_SERVER_UI_V2_ENABLED"] == "false"


def test_linters_find_nothing():
    subprocess.run([BIN / "hadolint", INFRA / "Dockerfile"], check=True)
    subprocess.run([BIN / "shellcheck", INFRA / "entrypoint.sh"], check=True)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (r"python:3\.11\.\d+-slim", "python:3.11-slim", "not an exact version"),
        (r"USER 1000:1000", "USER root", "last USER"),
        (r"USER 1000:1000\n", "", "last USER"),
        (r"RAY_AUTH_MODE=token", "RAY_AUTH_TOKEN=0123", "holds a secret"),
        (r'TORCH_INDEX=""', "TORCH_INDEX=https://index.example", "names a host"),
        (r"COPY requirements.lock \./", "ADD requirements.lock ./", "nobody checked"),
        (r'ENTRYPOINT \["/usr/bin/tini", "--", ', "ENTRYPOINT [", "buries nobody"),
    ],
)
def test_a_broken_dockerfile_is_refused(old: str, new: str, said: str):
    text, count = re.subn(old, new, (INFRA / "Dockerfile").read_text(), count=1)
    assert count == 1
    assert any(said in problem for problem in problems(text))


def test_the_build_sees_only_what_is_copied():
    copied = {
        value.split()[-2]
        for name, value in instructions((INFRA / "Dockerfile").read_text())
        if name == "COPY" and "--from" not in value
    }
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert let_in == copied
    assert all((ROOT / name).is_file() for name in let_in)


def _holds_secret(name: str, value: str) -> bool:
    return name in ("ARG", "ENV") and bool(re.search(r"(PASSWORD|TOKEN|SECRET|AUTH_STRING|KEY)=", value))


class Container:
    """The entry script in a folder of its own, with other programs' names answered by scripts that say how called."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("image", "bin", "home"):
            (root / folder).mkdir()
        shutil.copy(INFRA / "entrypoint.sh", root / "image")
        (root / "image" / "requirements.lock").write_text("torch==1\n")
        for name in ("prefect", "ray"):
            self.program(name, f'echo "{name} $*"')
        self.program("python", "exit 0")

    def program(self, name: str, body: str) -> None:
        path = self.root / "bin" / name
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)

    def run(self, role: str, **variables: str) -> tuple[int, str]:
        done = subprocess.run(
            [self.root / "image" / "entrypoint.sh", role], capture_output=True, text=True, check=False, timeout=60,
            env={"PATH": f"{self.root / 'bin'}:{os.environ['PATH']}", "HOME": str(self.root / "home"), **variables},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A repository to clone."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "requirements.lock").write_text("torch==1\n")
    commit(folder)
    return folder


def commit(folder: Path) -> str:
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], check=True)
    return head(folder)


def head(folder: Path) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_server_keeps_places_of_runs_and_offers_one_ui(container: Container):
    container.program("prefect", "env | grep ^PREFECT_")
    code, said = container.run("server", PREFECT_SERVER_API_AUTH_STRING="a:b")
    assert code == 0, said
    told = dict(line.split("=", 1) for line in said.splitlines())
    assert told.keys() <= prefect_variables()
    assert told["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"].endswith(".filesystem")
    ui = Path(told["PREFECT_SERVER_UI_STATIC_DIRECTORY"])
    assert ui.is_relative_to(told["PREFECT_HOME"])
    assert (ui / "v2").is_symlink()
    assert not (ui / "v2").exists()


def worker(container: Container, source: Path, **variables: str) -> tuple[int, str]:
    return container.run(
        "worker",
        ABCD_WORKSPACE=str(container.root / "volume" / "abcd"),
        PREFECT_API_URL="http://127.0.0.1:1/api",
        WORKSPACE_GIT_URL=str(source),
        **variables,
    )


@pytest.mark.parametrize(
    ("role", "variables", "said"),
    [
        ("cook", {}, "expected server, worker, ray-head or ray-worker"),
        ("ray-head", {}, "RAY_AUTH_TOKEN was expected and is not set"),
        ("ray-worker", {"RAY_AUTH_TOKEN": "x"}, "ABCD_RAY_ADDRESS was expected"),
        ("worker", {"ABCD_WORKSPACE": "/nowhere/abcd"}, "PREFECT_API_URL was expected"),
        ("server", {"PREFECT_SERVER_API_HOST": "0.0.0.0"}, "set PREFECT_SERVER_API_AUTH_STRING"),
    ],
)
def test_a_role_says_what_it_lacks(container: Container, role: str, variables: dict[str, str], said: str):
    code, output = container.run(role, **variables)
    assert (code, said in output) == (1, True), output


def test_a_server_on_loopback_needs_no_password(container: Container):
    assert container.run("server") == (0, "prefect server start\n")


def test_the_worker_clones_registers_and_serves_the_pool(container: Container, source: Path):
    code, output = worker(container, source)
    assert code == 0, output
    assert head(container.root / "volume" / "abcd") == head(source)
    assert [line for line in output.splitlines() if line.startswith("prefect")] == [
        "prefect --no-prompt work-pool create abcd --type process --overwrite",
        "prefect --no-prompt deploy --all",
        "prefect worker start --pool abcd --type process --with-healthcheck",
    ]
    assert str(source) not in output


def test_the_worker_can_be_interrupted_and_its_end_is_the_containers(container: Container, source: Path):
    # A shell cannot trap what it was started deaf to.
    container.program("prefect", "[[ $1 == worker ]] || exit 0; trap 'exit 7' INT; kill -INT $$; exit 0")
    assert worker(container, source)[0] == 7


def test_an_existing_clone_moves_forward_unless_it_was_changed(container: Container, source: Path):
    worker(container, source)
    clone = container.root / "volume" / "abcd"
    (source / "new").touch()
    second = commit(source)
    worker(container, source)
    assert head(clone) == second
    (clone / "own").touch()
    own = commit(clone)
    (source / "newer").touch()
    commit(source)
    code, output = worker(container, source)
    assert (code, head(clone)) == (0, own)
    assert f"stays at {own}" in output


def test_a_clone_of_another_environment_is_refused(container: Container, source: Path):
    (source / "requirements.lock").write_text("torch==2\n")
    commit(source)
    code, output = worker(container, source)
    assert code == 1
    assert "build and roll out the image of that commit" in output


def test_a_clone_that_fails_leaves_nothing(container: Container, tmp_path: Path):
    code, output = worker(container, tmp_path / "absent")
    assert code == 1
    assert "look whether WORKSPACE_GIT_URL and its credentials are right" in output
    assert not (tmp_path / "volume" / "abcd").exists()


def test_a_ray_node_that_ended_joins_again_and_ends_with_the_worker(container: Container, source: Path):
    started = container.root / "started"
    container.program("ray", f'echo "$*" >> {started}; [[ $(wc -l < {started}) == 2 ]] || exit 1; exec /bin/sleep 100')
    container.program(
        "prefect", f"[[ $1 != worker ]] || until [[ $(wc -l < {started}) == 2 ]]; do /bin/sleep 0.1; done"
    )
    container.program("sleep", "exit 0")
    code, output = worker(container, source, ABCD_RAY_ADDRESS="head:6379")
    assert code == 0, output
    assert "the Ray node ended; it joins head:6379 again" in output
    assert started.read_text().count("start --address=head:6379 --num-cpus=0 --num-gpus=0") == 2
