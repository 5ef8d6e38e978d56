"""Other people's libraries to measure against, each in a virtual environment of its own."""

import subprocess
import sys
from pathlib import Path


def peer_python(environment: Path, *packages: str) -> Path:
    """Interpreter of the environment, which is made with these packages if it is not there.

    Raises:
        CalledProcessError: they cannot be installed.
    """
    python = environment / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
    return python
