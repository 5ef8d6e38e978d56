"""`python -m tasks STEP`: run one step of the graph in this workspace. DVC calls it; flows call DVC."""

import argparse
import ctypes
import gc
import importlib
import logging
import os
import resource
import signal
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FrameType

if __name__ == "__main__":
    # A process of one step makes little that is in cycles, and many modules: half of what Great Expectations takes to
    # start are collections that find nothing.
    gc.set_threshold(10_000)
try:
    from infra.disk import full_disk
    from infra.lock import accelerator_lock, workspace_lock
    from infra.outputs import DamagedError, require_sound_inputs
    from infra.settings import Settings, SettingsError, WorkspaceError
    from tasks import params as params_file
    from tasks.report import Report, StepError, step_output, write_json
except ModuleNotFoundError as error:
    sys.exit(
        f"{error.name!r} is not installed for {sys.executable}: the steps run in the project's own environment; "
        "type `make .venv` if there is none, then `source .venv/bin/activate`"
    )

# Step -> stage, in the order in which they run. A step's module is tasks/<stage>/<step>.py.
STEPS: dict[str, str] = {
    "blueprint": "algorithm",
    "discover": "big_data",
    "ingest": "big_data",
    "clean": "big_data",
    "privacy": "big_data",
    "dedup": "big_data",
    "validate": "big_data",
    "tokenizer": "big_data",
    "pack": "big_data",
    "describe": "big_data",
    "drift": "compute",
    "train": "compute",
    "evaluate": "compute",
    "export": "distribution",
    "gate": "distribution",
}
_PR_SET_PDEATHSIG = 1
# Set by DVC for the commands that it runs (dvc/env.py).
_UNDER_DVC = "DVC_STAGE"

logger = logging.getLogger("tasks")


def main(arguments: list[str] | None = None) -> int:
    """Run the step named on the command line; 0 when it ended well."""
    parser = argparse.ArgumentParser(prog="python -m tasks", description=__doc__)
    parser.add_argument("step", choices=list(STEPS), metavar="STEP", help=", ".join(STEPS))
    step = parser.parse_args(arguments).step
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    _die_with_parent()
    try:
        run_step(step)
    except (StepError, DamagedError, params_file.ParamsError, SettingsError, WorkspaceError) as error:
        logger.error("%s: %s", step, error)
        return 1
    except Exception as error:
        said = full_disk(error)
        if not said:
            raise
        logger.error("%s: %s", step, said)
        return 1
    return 0


def run_step(step: str) -> Report:
    """Run one step under the workspace lock: its output folder complete or absent, its report written last.

    Raises:
        StepError: the step cannot go on.
        DamagedError: what it reads is not what `dvc.lock` says.
    """
    settings = Settings.load()
    os.chdir(settings.workspace)
    with workspace_lock(settings.state, what=f"step {step}"), _turn(step, settings):
        started, params = time.monotonic(), params_file.load()
        if _UNDER_DVC in os.environ:  # else `dvc.lock` need not be of what is here
            require_sound_inputs(settings, step)
        try:
            module = importlib.import_module(f"tasks.{STEPS[step]}.{step}")
            with step_output(settings.artifacts, step) as out:
                report: Report = module.run(params, settings, out)
                report.write(out)
        except ModuleNotFoundError as error:
            extra = STEPS[step].replace("_", "-")
            raise StepError(
                f"{error.name!r} is not installed; type `pip install -r requirements.lock`, "
                f"or `pip install -e '.[{extra}]'` for this stage alone"
            ) from error
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    measured = {
        "step": step,
        "wall_seconds": round(time.monotonic() - started, 3),
        "cpu_seconds": round(sum(u.ru_utime + u.ru_stime for u in usage), 3),
        "peak_rss_mib": round(max(_own_peak_kib(), usage[1].ru_maxrss) / 1024, 1),
    }
    write_json(settings.runs / "steps" / f"{step}.json", measured)
    logger.info("%s: done in %.1f s", step, measured["wall_seconds"])
    return report


def _own_peak_kib() -> int:
    """Largest resident set of this process so far; getrusage counts that of whoever started it (Linux)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _turn(step: str, settings: Settings) -> AbstractContextManager[None]:
    """Its turn on the accelerators, for steps that use them; on a cluster Ray gives out turns."""
    if STEPS[step] != "compute" or settings.ray_address:
        return nullcontext()
    return accelerator_lock(settings.checkouts / ".accelerators", what=f"{step} in {settings.workspace}")


def _die_with_parent() -> None:
    """Ask the kernel to end this process with the one that started it (Linux, `man 2 prctl`)."""
    signal.signal(signal.SIGTERM, _stop)
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before we asked
        sys.exit("the process that started this step has ended")


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit("stopped by SIGTERM")


if __name__ == "__main__":
    status = main()
    gc.freeze()  # the process ends: what is still there need not be looked through
    sys.exit(status)
