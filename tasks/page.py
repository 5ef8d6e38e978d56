"""Jinja2 templates for pages: what is put in is escaped, and a name that is missing is an error."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template


def template(path: Path, filters: Mapping[str, Callable[..., Any]]) -> Template:
    """The template in a file, with filters of the page's own."""
    environment = Environment(
        loader=FileSystemLoader(path.parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= filters
    return environment.get_template(path.name)
