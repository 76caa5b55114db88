"""A model's answer to an instruction and its material."""

from typing import Self


class Completion(str):
    """The model's text, with the tokens that it used; None if the endpoint does not report them."""

    __slots__ = ("input_tokens", "output_tokens")

    input_tokens: int | None
    output_tokens: int | None

    def __new__(cls, text: str, input_tokens: int | None = None, output_tokens: int | None = None) -> Self:
        completion = super().__new__(cls, text)
        completion.input_tokens = input_tokens
        completion.output_tokens = output_tokens
        return completion
