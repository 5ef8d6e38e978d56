"""Other people's libraries to measure against, each in a virtual environment or a folder of its own."""

import subprocess
import sys
from pathlib import Path


def peer_library(folder: Path, *packages: str) -> Path:
    """Folder with these packages alone, beside which this project's own libraries stand.

    Raises:
        CalledProcessError: they cannot be installed.
    """
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder))
    subprocess.run([*pip, *packages], check=True)
    return folder


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
