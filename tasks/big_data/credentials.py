"""A URL's `${VARIABLE}` gets its value from the environment when it is opened; what is said of it has none."""

import os
from urllib.parse import quote

from tasks.report import StepError
from tasks.source import fill_in, variables


def opened(uri: str) -> str:
    """The URL to open, each variable's value quoted as URLs need it.

    Raises:
        StepError: a variable is not set.
    """
    missing = [name for name in variables(uri) if not os.environ.get(name)]
    if missing:
        raise StepError(
            f"discover.sources: {uri!r}: expected its environment variables, found no {', '.join(missing)}; "
            "set it where the run is started"
        )
    return fill_in(uri, {name: quote(os.environ[name], safe="") for name in variables(uri)})


def hushed(said: object, uri: str) -> str:
    """What a library says, without the values of the URL's variables."""
    text = str(said)
    values = [value for name in variables(uri) if (value := os.environ.get(name))]
    for value in sorted({*values, *(quote(value, safe="") for value in values)}, key=len, reverse=True):
        text = text.replace(value, "***")
    return text
