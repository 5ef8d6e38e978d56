"""Which side a document is on: trained on or held out."""

from infra.settings import Settings
from tasks.big_data import documents
from tasks.big_data.split import held_out, trained_before
from tasks.params import Params


def held_out_ids(params: Params, settings: Settings) -> frozenset[str]:
    """Ids of the documents that no part of the model learns from.

    Raises:
        StepError: there are too few documents to hold one out.
    """
    table = documents.read(settings.artifacts / "validate", ["id", "digest"])
    return held_out(table, params.pack, trained_before(settings.artifacts / "discover"))
