"""Machine code of kernels is kept by what they are made of, not by where they are."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

LOOK = """
import numpy as np, pathlib, sys
from tasks.big_data import compiled
from tasks.big_data.boilerplate import {name} as kernel
print(compiled.kernels_digest(), kernel._cache.cache_path)
"""


def look(root: Path, kept: Path) -> list[str]:
    code = LOOK.format(name="without")
    environment = {"PATH": os.environ["PATH"], "NUMBA_CACHE_DIR": str(kept), "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_another_clone_finds_it_and_another_state_does_not(tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for folder in (first, second, third):
        for room in ("tasks", "infra", "data_contracts"):
            shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    kept = tmp_path / "kept"
    digest, path = look(first, kept)
    assert Path(path) == kept / digest
    assert look(second, kept) == [digest, path]
    with (third / "tasks" / "big_data" / "grams.py").open("a") as file:  # compiled into kernels of others
        file.write("\n# another state\n")
    assert look(third, kept)[0] != digest


RUN = """
import sys
import numpy as np
from tasks.big_data.grams import grouped
print(grouped(3, np.array([0], np.int64), np.array([2], np.int64)).tolist(), "numba.np.linalg" in sys.modules)
"""


def test_what_is_kept_is_loaded_without_the_compiler(tmp_path):
    environment = {"PATH": os.environ["PATH"], "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    said = [
        subprocess.run([sys.executable, "-c", RUN], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert said == ["[0, 1, 0] True\n", "[0, 1, 0] False\n"]
