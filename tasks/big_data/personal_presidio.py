"""What Presidio finds, for who wants names of people: its pattern recognisers, and spaCy's where a model is there.

Without the URL and e-mail recognisers, which ask the internet for the list of domains; e-mail is ours. Presidio finds
more and is wrong more often than the patterns of `personal.py`: benchmarks/README.md.
"""

import warnings
from functools import cache
from importlib.util import find_spec
from typing import Any

from tasks.big_data.personal_spans import Span
from tasks.report import StepError

_LANGUAGES = ("en", "de")
_LEFT_OUT = frozenset({"UrlRecognizer", "EmailRecognizer", "DateRecognizer", "SpacyRecognizer"})
_NAMED = {"PERSON": "person", "PER": "person", "LOC": "location", "GPE": "location"}
_MIN_SCORE = 0.5  # of 1, what Presidio gives to a pattern with few false matches


def require() -> None:
    """Raise unless Presidio is installed.

    Raises:
        StepError: it is not.
    """
    if find_spec("presidio_analyzer") is None:
        raise StepError(
            "privacy.presidio needs presidio-analyzer, which is not installed; type `pip install -e '.[presidio]'`, "
            "or set privacy.presidio: false"
        )


def find(text: str) -> list[Span]:
    """What it finds with enough confidence, in order and without overlaps."""
    recognizers, models = _loaded()
    found: list[Span] = []
    for recognizer in recognizers:
        hits = recognizer.analyze(text, recognizer.supported_entities, None) or []
        found += [Span(hit.start, hit.end, hit.entity_type.lower()) for hit in hits if hit.score >= _MIN_SCORE]
    for model in models:
        found += [
            Span(name.start_char, name.end_char, _NAMED[name.label_])
            for name in model(text).ents
            if name.label_ in _NAMED
        ]
    kept: list[Span] = []
    for span in sorted(found, key=lambda each: (each.start, -each.end, each.kind)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept


@cache
def _loaded() -> tuple[list[Any], list[Any]]:
    """Recognisers and spaCy's models, loaded once a process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own libraries
        import spacy
        from presidio_analyzer import RecognizerRegistry

        registry = RecognizerRegistry(supported_languages=list(_LANGUAGES))
        registry.load_predefined_recognizers(languages=list(_LANGUAGES))
        recognizers = [each for each in registry.recognizers if type(each).__name__ not in _LEFT_OUT]
        return recognizers, [spacy.load(name) for name in sorted(spacy.util.get_installed_models())]
