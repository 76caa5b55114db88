"""What the chat on the weather may call."""

from toolkit import tool


@tool
def weather(city: str) -> str:
    """Look up the weather of a city."""
    return f"It rains in {city}."
