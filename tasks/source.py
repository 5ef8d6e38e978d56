"""One item of `discover.sources`: where texts come from, and what is said of them; a string is a source by its uri.

What is left open here is as `ingest` and `clean` say for all sources (`Params.source`).
"""

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from string import Formatter
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_serializer, model_validator

STDLIB_URI = "python:stdlib"
S3 = "s3://"
HTTP = ("http://", "https://")

_WILDCARD = re.compile(r"[*?]")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
# Keys of a URL's query that carry what must not be in a file: of drivers, of signed links.
_SECRET_KEY = re.compile(r"pass|pwd|secret|token|signature|credential|api.?key|^(sig|key|auth)$", re.I)


class Source(BaseModel):
    """Texts of one origin: files of one folder, bucket or URL, or rows of one query."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    uri: str = Field(
        min_length=1,
        description=f"folder, file, glob with * ? **, s3://, https://, database URL or {STDLIB_URI}; "
        "relative paths start at ABCD_SOURCE_ROOT",
    )
    format: str = Field(default="", description="ending that says how to read it, as in csv; empty: each file's own")
    text: str = Field(default="", description="column with the text, or a template: {title} {body}; empty: as ingest")
    metadata: tuple[str, ...] = Field(default=(), description="columns that are kept beside the text")
    licence: str = Field(default="", description="SPDX identifier; empty: as ingest.licence says")
    language: str = Field(default="", pattern="^([a-z]{2})?$", description="ISO 639-1 code; empty: identified")
    weight: float = Field(default=1.0, gt=0, le=1000, description="weight in the training mix; 1: as often as it comes")
    kind: Literal["", "auto", "prose", "code", "notes", "web"] = Field(
        default="", description="kind of text its cleaning rules are for; empty: as clean.preset says"
    )
    exclude: tuple[str, ...] = Field(default=(), description="globs of files and folders below it to leave out")
    query: str = Field(default="", description="SQL that a database URL is asked")
    watermark: str = Field(default="", description="column of the query that only grows, so that new rows are enough")
    key: str = Field(default="", description="column of the query that a row is called by; empty: its place")

    @model_validator(mode="before")
    @classmethod
    def _leave_out_null(cls, raw: Any) -> Any:
        """Null means "not said", as in all of `params.yaml`."""
        if isinstance(raw, Mapping):
            return {key: value for key, value in raw.items() if value is not None}
        return raw

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if has_secret(self.uri):
            raise ValueError(
                "the URL holds a password or a token, which params.yaml and records would keep; "
                "put it into an environment variable and write ${VARIABLE} in its place"
            )
        try:
            list(Formatter().parse(self.text))
        except ValueError as error:
            raise ValueError(f"text: expected a column or a template of columns in braces: {error}") from None
        is_files = "://" not in self.uri or self.uri.startswith((S3, *HTTP))
        if self.query and is_files:
            raise ValueError(f"query: {self.uri!r} is no database URL, as in postgresql://user:${{PASSWORD}}@host/name")
        for name in ("watermark", "key"):
            if getattr(self, name) and not self.query:
                raise ValueError(f"{name}: {self.uri!r} has no query that could have such a column")
        if self.format and self.query:
            raise ValueError("format: a query has rows and columns, so there is no format to say")
        if self.exclude and (self.query or self.uri.startswith(HTTP)):
            raise ValueError(f"exclude: {self.uri!r} is no folder, so there are no files to leave out")
        if self.uri.startswith(S3) and _WILDCARD.search(self.uri.removeprefix(S3).partition("/")[0]):
            raise ValueError(f"expected the name of a bucket, found a glob in {self.uri!r}")
        return self

    @model_serializer
    def _short(self) -> str | dict[str, Any]:
        """As a person would write it: the uri alone if nothing else is said, else what is said."""
        said = {
            name: list(value) if isinstance(value, tuple) else value
            for name, field in type(self).model_fields.items()
            if (value := getattr(self, name)) != field.default
        }
        return self.uri if said.keys() == {"uri"} else said

    @property
    def stem(self) -> str:
        """What a model made from it is called."""
        if self.uri == STDLIB_URI:
            return "python-stdlib"
        if self.query or self.uri.startswith(HTTP):
            parts = urlsplit(self.uri)
            return (parts.fragment if self.query else "") or PurePosixPath(parts.path).name.split(".")[0]
        return PurePosixPath(split_glob(self.uri)[0].rstrip("/")).name.split(".")[0]


def _of_string(given: Any) -> Any:
    return {"uri": given} if isinstance(given, str) else given


# In a form as in the file: a string, or a mapping.
GivenSource = Annotated[Source, BeforeValidator(_of_string, json_schema_input_type=str | Source)]


def split_glob(uri: str) -> tuple[str, str]:
    """The folder that a glob starts in and the pattern below it; no pattern where there is no wildcard.

    In URLs of the web and of databases `?` and `*` mean something else.
    """
    if "://" in uri and not uri.startswith(S3):
        return uri, ""
    parts = uri.split("/")
    first = next((i for i, part in enumerate(parts) if _WILDCARD.search(part)), len(parts))
    return "/".join(parts[:first]) or ("/" if first and uri.startswith("/") else "."), "/".join(parts[first:])


def variables(uri: str) -> list[str]:
    """Names of the environment variables that a URL asks for."""
    return _VARIABLE.findall(uri)


def fill_in(uri: str, values: Mapping[str, str]) -> str:
    """A URL with each `${VARIABLE}` replaced by its value."""
    return _VARIABLE.sub(lambda found: values[found[1]], uri)


def has_secret(uri: str) -> bool:
    """Whether a URL spells out a password or a token instead of naming its variable."""
    if "://" not in uri:
        return False
    parts = urlsplit(uri)
    user_info = parts.netloc.rpartition("@")[0]
    secrets = [user_info.partition(":")[2]]
    secrets += [value for key, value in parse_qsl(parts.query) if _SECRET_KEY.search(key)]
    return any(secret and not _VARIABLE.fullmatch(secret) for secret in secrets)
