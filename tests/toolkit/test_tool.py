"""What a function must be to be a tool, and what is read from it."""

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from toolkit import AsyncToolContext, ToolContext, ToolDefinitionError, UploadedFile, tool
from toolkit.catalogue import ToolSpec


class Range(BaseModel):
    low: int
    high: int = 10


def test_schema_description_and_place_come_from_the_function() -> None:
    @tool
    def simulate(
        ctx: ToolContext, file: UploadedFile, years: Annotated[int, Field(ge=1, description="how long")] = 30
    ) -> int:
        """Simulate a plan.

        And report.
        """
        return years

    assert simulate.spec == ToolSpec(
        name="simulate",
        description="Simulate a plan.\n\nAnd report.",
        parameters={
            "type": "object",
            "properties": {
                "file": {
                    "type": "string",
                    "format": "file-id",
                    "description": "The id of an uploaded file.",
                    "title": "File",
                },
                "years": {"type": "integer", "minimum": 1, "default": 30, "description": "how long", "title": "Years"},
            },
            "required": ["file"],
            "additionalProperties": False,
        },
        run_in="thread",
    )


def save(ctx: ToolContext, number: int) -> None:
    """Takes the context and an argument of some tools."""


async def save_async(ctx: AsyncToolContext) -> None:
    """Fits async tools alone."""


def test_a_tool_may_have_a_partial_that_takes_some_of_its_parameters() -> None:
    @tool(partial=save)
    def count(ctx: ToolContext, start: int, number: int) -> int:
        return number

    assert count.spec.has_partial
    assert count.partial is save


@pytest.mark.parametrize(
    ("partial", "reason"),
    [
        (save_async, "must be `async def` if the tool is"),
        (save, "takes 'number', which the tool does not"),
        (lambda: None, "must take a context"),
    ],
)
def test_a_partial_that_does_not_fit_its_tool_is_refused(partial: Callable[..., Any], reason: str) -> None:
    with pytest.raises(ToolDefinitionError, match=reason):

        @tool(partial=partial)
        def count(ctx: ToolContext, start: int) -> int:
            return start


def test_a_tool_is_still_the_function() -> None:
    @tool(name="plus", run_in="process", timeout_seconds=5)
    def add(left: int, right: int) -> int:
        return left + right

    assert add(1, right=2) == 3
    assert (add.name, add.spec.run_in, add.spec.timeout_seconds) == ("plus", "process", 5)
    assert add.spec.description == "plus"
    assert not add.spec.takes_context


def test_parameters_may_have_names_that_models_reserve() -> None:
    @tool
    def odd(json: str, model_config: int, copy: Range, _hidden: bool = False) -> None: ...

    checked = odd.parameters.check({"json": "a", "model_config": 1, "copy": {"low": 2}})
    assert checked.values == {"json": "a", "model_config": 1, "copy": Range(low=2), "_hidden": False}
    assert set(odd.spec.parameters["properties"]) == {"json", "model_config", "copy", "_hidden"}


def test_files_are_found_however_deep_they_are() -> None:
    @tool
    def compare(files: dict[str, list[UploadedFile]]) -> None: ...

    checked = compare.parameters.check({"files": {"a": ["file_1"], "b": ["file_2"]}})
    assert [file.id for file in checked.files] == ["file_1", "file_2"]


def test_a_long_wrong_value_is_cut_in_the_sentence() -> None:
    @tool
    def count(number: int) -> None: ...

    with pytest.raises(Exception, match="The argument 'number' is wrong") as caught:
        count.parameters.check({"number": "x" * 10_000})
    assert len(str(caught.value)) < 250


async def in_loop_with_sync_context(ctx: ToolContext) -> None: ...
def in_thread_with_async_context(ctx: AsyncToolContext) -> None: ...
def context_second(a: int, ctx: ToolContext) -> None: ...
def untyped(a) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
def variadic(*numbers: int) -> None: ...
def positional(a: int, /) -> None: ...
def wrong_default(number: int = "many") -> None: ...  # type: ignore[assignment]
async def plain_async() -> None: ...
def plain() -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "sentence"),
    [
        (in_loop_with_sync_context, {}, "take AsyncToolContext, or make it `def`"),
        (in_thread_with_async_context, {}, "take ToolContext, or make it `async def`"),
        (context_second, {}, "the context 'ctx' must be the first parameter"),
        (untyped, {}, "the parameter 'a' has no type: annotate it"),
        (variadic, {}, "the parameter 'numbers' takes any number of values"),
        (positional, {}, "the parameter 'a' is positional-only"),
        (wrong_default, {}, "the default of the parameter 'number' is 'many', which does not fit its type"),
        (plain_async, {"run_in": "thread"}, "an `async def` cannot run in a thread"),
        (plain, {"run_in": "loop"}, "a `def` would block the loop"),
        (plain, {"run_in": "moon"}, "run_in is 'moon'"),
        (plain, {"name": "not a name"}, "the name 'not a name'"),
        (plain, {"timeout_seconds": 0}, "timeout_seconds is 0"),
        (plain, {"timeout_seconds": "1 h"}, "timeout_seconds is '1 h': it is a number of seconds"),
        (plain, {"timeout_seconds": float("nan")}, "timeout_seconds is nan: it must be above 0"),
        (plain, {"memory_mb": "lots", "run_in": "process"}, "memory_mb is 'lots': it is a whole number of megabytes"),
        (plain, {"memory_mb": 10}, "memory_mb needs run_in='process'"),
        (plain, {"limits": ["budget"]}, "limits has 'budget'"),
        (plain, {"limits": "a"}, "limits has 'a'"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_told_what_to_change(
    function: Callable[..., Any], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ToolDefinitionError, match=sentence) as caught:
        tool(**options)(function)
    assert function.__name__ in str(caught.value)
