"""Where an author's code failed, without the lines of libraries and of this package."""

import traceback
from collections.abc import Sequence
from pathlib import Path

MAX_LINES = 5


def own_lines(error: BaseException, directories: Sequence[Path]) -> str:
    """Returns the last lines of the traceback within the directories, then the error's type and text."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if any(Path(frame.filename).is_relative_to(folder) for folder in directories)]
    lines = [f"{Path(frame.filename).name}:{frame.lineno}: {frame.line or frame.name}" for frame in own[-MAX_LINES:]]
    return "\n".join([*lines, *(line.rstrip() for line in traceback.format_exception_only(error))])
