"""Every value of `params.yaml`, each optional: the form of a run. Apart from `params.py`, which every step loads."""

from typing import Any

from tasks.params import Params
from tasks.section import optional


class Overrides(optional(Params, "Overrides")):  # type: ignore[misc]  # made from Params: one list of fields
    """Every value of `params.yaml`, all optional: what a form shows. Empty: as in `params.yaml`."""

    def dotted(self) -> list[tuple[str, Any]]:
        """What was said, as `section.key` and value."""
        said: dict[str, dict[str, Any]] = self.model_dump(exclude_none=True)
        return [(f"{section}.{key}", value) for section, values in said.items() for key, value in values.items()]
