"""The names of servers' tools among ours."""

import pytest

from toolkit.mcp_tools import tool_name


@pytest.mark.parametrize(
    ("server", "tool", "name"),
    [
        ("files", "read", "files__read"),
        ("my server", "read.all/now", "my_server__read_all_now"),
        ("1st", "go", "_1st__go"),
        ("ü", "é", "____"),
    ],
)
def test_names_have_only_the_characters_of_tools(server: str, tool: str, name: str) -> None:
    assert tool_name(server, tool) == name


def test_long_names_are_cut_and_stay_apart() -> None:
    names = {tool_name("server" * 10, f"tool{number}") for number in range(3)}
    assert len(names) == 3
    assert all(len(name) <= 64 for name in names)
