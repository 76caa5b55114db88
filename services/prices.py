"""The prices of models' tokens, from the operator's file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from settings import refuse


class Price(BaseModel):
    """Money for a million tokens."""

    model_config = ConfigDict(extra="forbid")

    input: float = Field(ge=0)
    output: float = Field(ge=0)


@dataclass(frozen=True)
class Prices:
    """Prices by the name of the model; models without one have no cost."""

    by_model: Mapping[str, Price] = field(default_factory=dict)

    def cost(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        price = self.by_model.get(model)
        return None if price is None else (input_tokens * price.input + output_tokens * price.output) / 1e6


NO_PRICES = Prices()


def read_prices(path: Path | None) -> Prices:
    """Reads `{"model": {"input": 1.25, "output": 10}}`. Ends the process with one line if the file is unusable."""
    if path is None:
        return NO_PRICES
    try:
        return Prices(TypeAdapter(dict[str, Price]).validate_python(json.loads(path.read_text("utf-8"))))
    except (OSError, ValueError) as error:  # ValidationError and JSONDecodeError are ValueErrors
        reason = _first(error) if isinstance(error, ValidationError) else str(error)
        refuse(f"LONGHAUL_PRICES cannot be used: {reason}. It maps each model to its `input` and `output` price.")


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
