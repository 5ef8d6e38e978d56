"""What `abcd up` refuses, and what is taken for a process of the platform."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import cli, operate, server
from flows.address import addresses, refuse_taken_port
from flows.launch import refusal
from flows.platform_state import Known, PlatformError, PlatformState
from flows.supervisor import worker_environment
from infra.settings import Settings, SettingsError
from tests.platforms import free_port


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a workspace without a platform, in an environment without secrets."""
    for name in list(os.environ):
        if name.startswith("PREFECT_"):
            monkeypatch.delenv(name)
    found = Settings(workspace=tmp_path)
    monkeypatch.setattr(Settings, "load", classmethod(lambda cls: found))
    monkeypatch.chdir(tmp_path)
    return found


def state_of(pid: int, started: float) -> PlatformState:
    return PlatformState(
        supervisor=Known(pid=pid, started=started), host="127.0.0.1", port=4200,
        api_url="http://127.0.0.1:4200/api", ui_url="http://127.0.0.1:4200",
    )  # fmt: skip


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3"])
def test_another_address_than_loopback_needs_an_auth_string(settings: Settings, host: str):
    with pytest.raises(PlatformError, match=r"lets other machines in.*PREFECT_SERVER_API_AUTH_STRING=user:password"):
        operate.up(host=host)


def test_a_host_is_an_address(settings: Settings):
    with pytest.raises(PlatformError, match="--host here: expected an IP address of this machine, or localhost"):
        operate.up(host="here")


def test_a_taken_port_is_said_with_who_has_it():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PlatformError, match=rf"127.0.0.1:{port}: .*by process {os.getpid()} .*--port N"):
            refuse_taken_port("127.0.0.1", port)


def test_the_auth_string_comes_from_the_environment_or_a_file(tmp_path: Path, settings: Settings, monkeypatch):
    assert server.auth_string(settings) == ""
    (tmp_path / "auth").write_text("me:secret\n")
    with_file = Settings(workspace=tmp_path, auth_file=Path("auth"))
    assert server.auth_string(with_file) == "me:secret"
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "you:other")
    assert server.auth_string(with_file) == "you:other"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot read"),
        ("secret", "expected user:password"),
        ("jürgen:secret", "ABCD_AUTH_FILE: expected letters, digits and signs of ASCII alone"),
        ("me:secret\nyou:secret", "ABCD_AUTH_FILE: expected letters, digits and signs of ASCII alone"),
    ],
)
def test_an_auth_file_that_holds_none_is_refused_without_showing_it(tmp_path: Path, settings, text, said):
    if text:
        (tmp_path / "auth").write_text(text)
    with pytest.raises(SettingsError, match=said) as raised:
        server.auth_string(Settings(workspace=tmp_path, auth_file=Path("auth")))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("name", ["PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING"])
def test_an_auth_string_that_prefect_cannot_compare_is_refused_wherever_it_stands(settings, monkeypatch, name: str):
    monkeypatch.setenv(name, "me:geheimnisträger")
    with pytest.raises(SettingsError, match=f"^{name}: expected .* of ASCII alone, found others; choose another$"):
        server.configure(settings, quiet=True)


def test_the_worker_does_not_see_what_only_the_server_needs(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_API_DATABASE_CONNECTION_URL", "postgresql+asyncpg://a:b@localhost/c")
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "a:b")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "a:b")
    seen = worker_environment(settings)
    assert [name for name, value in seen.items() if "a:b" in value] == ["PREFECT_API_AUTH_STRING"]
    assert seen["ABCD_WORKSPACE"] == str(settings.workspace)


def test_a_process_id_used_again_is_not_the_platform(settings: Settings):
    me = Known.of(os.getpid())
    assert me.lives()
    assert not Known(pid=me.pid, started=me.started - 60).lives()
    state_of(me.pid, me.started - 60).write(settings)
    shown = CliRunner().invoke(cli.app, ["status"])
    assert (shown.exit_code, shown.output.startswith("down: the last `abcd up` was killed")) == (3, True)
    assert "the platform had been killed; 0 processes" in CliRunner().invoke(cli.app, ["down"]).output
    assert PlatformState.read(settings) is None


def test_a_process_that_ended_but_nobody_buried_does_not_live():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = Known.of(child.pid)
    assert known.lives()
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not known.lives()
    child.wait()


def test_a_torn_state_file_is_none(settings: Settings):
    settings.state.mkdir()
    (settings.state / "platform.json").write_text("{")
    assert PlatformState.read(settings) is None


def test_a_server_of_another_platform_is_used_while_it_lives(settings: Settings):
    me = Known.of(os.getpid())
    state = state_of(me.pid, me.started).model_copy(update={"is_ready": True})
    state.write(settings)
    with server.prefect_server(settings) as url:
        assert url == os.environ["PREFECT_API_URL"] == state.api_url
    assert "PREFECT_API_URL" not in os.environ


def test_an_unknown_parameter_is_named_with_what_was_meant():
    assert refusal({"overrides": {}}, {"overrides": {}}) == ""
    assert refusal({}, {}) == ""
    assert refusal({"overides": 1}, {"overrides": {}}) == (
        "unknown parameter overides; did you mean 'overrides'? Expected: overrides. Nothing was run"
    )
    assert refusal({"x": 1}, {}).endswith("Expected: none. Nothing was run")


@pytest.mark.parametrize(
    ("host", "api", "ui"),
    [
        ("127.0.0.1", "http://127.0.0.1:4200/api", "http://127.0.0.1:4200"),
        ("localhost", "http://127.0.0.1:4200/api", "http://127.0.0.1:4200"),
        ("::1", "http://[::1]:4200/api", "http://[::1]:4200"),
        ("0.0.0.0", "http://127.0.0.1:4200/api", f"http://{socket.getfqdn()}:4200"),
    ],
)
def test_addresses_are_those_that_answer(settings: Settings, host: str, api: str, ui: str):
    assert addresses(host, 4200) == (api, ui)


def test_browsers_behind_a_proxy_are_told_its_address(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PREFECT_SERVER_UI_API_URL", "https://abcd.company/api")
    assert addresses("0.0.0.0", 4200) == ("http://127.0.0.1:4200/api", "https://abcd.company")


def test_a_free_port_passes():
    refuse_taken_port("127.0.0.1", free_port())
