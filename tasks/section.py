"""What all sections of `params.yaml` have in common, and a section of which every key may be left out."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, create_model


class Section(BaseModel):
    """Base of all sections: frozen, closed."""

    # An input may be a URL with a password, which no error may show.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


def optional(model: type[Section], name: str) -> type[Section]:
    """Same fields as `model`, each optional with null for "as in params.yaml", bounds and descriptions kept."""
    fields: dict[str, Any] = {}
    for key, info in model.model_fields.items():
        kind: Any = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            kind = optional(kind, f"{kind.__name__}Overrides")
            fields[key] = (
                kind | None,
                Field(default=None, title=key, description=(kind.__doc__ or key).strip()),
            )
        else:
            bounded = Annotated[kind, *info.metadata] if info.metadata else kind
            fields[key] = (bounded | None, Field(default=None, description=info.description))
    made: type[Section] = create_model(name, __base__=Section, __doc__=model.__doc__, **fields)
    return made
