"""Records that steps exchange a line at a time, checked when they are read."""

from pydantic import BaseModel, ConfigDict, Field

SHA256_PATTERN = r"^[0-9a-f]{64}$"


class SourceFile(BaseModel):
    """One line of the manifest: a source file as `discover` saw it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str = Field(min_length=1, description="name for people, relative to the source as given")
    source: str = Field(min_length=1, description="source as given in params.yaml")
    size: int = Field(ge=0, description="bytes")
    sha256: str = Field(pattern=SHA256_PATTERN, description="digest of the bytes")
