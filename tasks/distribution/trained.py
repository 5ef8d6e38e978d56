"""Whether a release was trained on a document, from the fingerprints that it carries."""

import io
from collections.abc import Iterable
from typing import Any

import numpy as np

from infra.releases import Registry, RegistryError
from infra.settings import Settings
from tasks.fingerprints import fingerprints

_TRAINED = "data/trained.npy"


def was_trained_on(settings: Settings, ref: str, document_id: str, digests: Iterable[str]) -> dict[str, Any]:
    """Whether the release knows the document's name or a form of its text.

    Raises:
        StorageError: there is no such release, or it carries no fingerprints.
    """
    registry = Registry.of(settings)
    log, release = registry.release(ref)
    name = f"{log.name}@v{release.version}"
    if _TRAINED not in release.files:
        raise RegistryError(f"{name} does not carry {_TRAINED}; it was made before releases had it")
    known = np.load(io.BytesIO(registry.blob(release.files[_TRAINED], what=f"{name} {_TRAINED}")), allow_pickle=False)
    by_name, *by_text = np.isin(fingerprints([document_id, *digests]), known).tolist()
    return {"release": name, "trained_on": by_name or any(by_text), "by_name": by_name, "by_text": any(by_text)}
