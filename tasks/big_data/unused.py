"""What steps remember of shards that no run has asked for in a long time."""

import time

from infra.settings import Settings
from infra.storage import LocalStore
from infra.unused import Unused
from tasks.params import Params

_DAY_SECONDS = 86_400.0


def unused(_params: Params, settings: Settings) -> list[Unused]:
    """Entries of the memory that were used last before `ABCD_KEEP_RUNS_DAYS`."""
    store = LocalStore(settings.cache / "shards")
    kind = "remembered shards"
    if others := Unused.of_others(settings, store, kind=kind, setting="ABCD_CACHE"):
        return [others]
    since = time.time() - settings.keep_runs_days * _DAY_SECONDS
    root = settings.cache / "shards"
    old = {path.relative_to(root).as_posix() for path in root.glob("*/[0-9a-f]*") if path.stat().st_mtime < since}
    files = tuple(file for file in store.files() if file.name.rpartition("/")[0] in old)
    return [Unused(kind, f"no run asked for these in {settings.keep_runs_days:g} days", store, files)]
