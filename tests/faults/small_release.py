"""`python -m tests.faults.small_release TEXT`: publish the smallest release that has all parts of a real one."""

import hashlib
import sys
import tempfile
from pathlib import Path

from infra.releases import CANDIDATE, CHAMPION, Registry
from infra.settings import Settings
from infra.signed_log import Summary
from infra.storage import StorageError
from tasks.distribution.registry import (
    MovedError,
    add_release,
    advance_alias,
    put_bytes,
    put_file,
    set_alias,
    signing_key,
)

NAME = "small"


def publish(text: str) -> int:
    """Version of the release of this text, champion unless somebody else's became it meanwhile."""
    settings = Settings.load()
    registry, key = Registry.of(settings), signing_key(settings.keys)
    before = registry.log(NAME).aliases.get(CHAMPION)
    digest = hashlib.sha256(text.encode()).hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name in ("config.json", "model.safetensors", "pictures/curve.png"):
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{name} of {text}\n" * 50)
            files[name] = put_file(registry, path)
    record = put_bytes(registry, f'{{"made_of": "{text}"}}'.encode())
    figures = dict.fromkeys(("weights_sha256", "tokenizer_sha256", "held_out_sha256"), digest)
    summary = Summary(**figures, bits_per_byte=2.0, decision="promote")
    release, _ = add_release(registry, key, NAME, identity=digest, files=files, record=record, summary=summary)
    advance_alias(registry, key, NAME, CANDIDATE, release.version)
    try:
        set_alias(registry, key, NAME, CHAMPION, release.version, expected=before)
    except MovedError as error:
        sys.stdout.write(f"kept: {error}\n")
    return release.version


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{NAME}@v{publish(sys.argv[1])}\n")
    except StorageError as error:
        sys.exit(f"error: {error}")
