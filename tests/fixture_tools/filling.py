"""A tool whose file is as large as one likes."""

from toolkit import ToolContext, tool


@tool
def make_large_file(ctx: ToolContext, megabytes: int) -> str:
    """Save an artifact of this size."""
    ctx.save_artifact("large.bin", b"x" * (megabytes * 1_000_000))
    return "saved"
