"""A PostgreSQL server of a test's own on loopback, from Debian's packages: started, restarted by a crash, stopped."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "only-on-loopback"


class Postgres:
    """A database cluster in a folder, owned by the user `postgres` where tests run as root, which it refuses to."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder, self._programs = folder, programs
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    @property
    def url(self) -> str:
        """What Prefect's PREFECT_API_DATABASE_CONNECTION_URL takes."""
        return f"postgresql+asyncpg://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    @property
    def source_url(self) -> str:
        """What a source of params.yaml has; its password is `PASSWORD`."""
        return f"postgresql://postgres:${{TEST_DB_PASSWORD}}@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        """Make the cluster and start it."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            shutil.chown(self._folder, "postgres")
            shutil.chown(secret, "postgres")
        self._call("initdb", "--username=postgres", f"--pwfile={secret}", "--auth=scram-sha-256", "--no-sync")
        self._control("start")

    def restart(self) -> None:
        """Cut all connections at once, as a crash does, and come back after recovery."""
        self._control("restart", "-m", "immediate")

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")

    def _control(self, *command: str) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        log = str(self._folder / "log")
        self._call("pg_ctl", *command, "-w", "-t", "60", "-o", options, "-l", log)

    def _call(self, program: str, *arguments: str) -> None:
        """Run one of its programs; output goes to a file, as the server that stays would hold a pipe open."""
        user = "postgres" if os.geteuid() == 0 else None
        said = self._folder / "said"
        with said.open("w") as output:
            done = subprocess.run(
                [self._programs / program, "-D", self._folder / "data", *arguments], cwd=self._folder, user=user,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False,
                group=pwd.getpwnam(user).pw_gid if user else None, extra_groups=[] if user else None,
            )  # fmt: skip
        assert done.returncode == 0, said.read_text()


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A server for the length of the block; skips where Debian's package is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql (tests/debian-packages.txt)")
    # Not below pytest's own folder, which only its owner may enter.
    with tempfile.TemporaryDirectory(prefix="abcd-postgres-") as folder:
        server = Postgres(Path(folder), found[-1].parent)
        server.create()
        try:
            yield server
        finally:
            server.stop()
