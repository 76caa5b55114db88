"""Values that a tool keeps between calls: JSON of the conversation, in the database that all machines share."""

from collections.abc import Callable
from typing import Any

from toolkit.handler import Asked, DeleteRecord, Found, GetRecord, ListRecords, PutRecord
from toolkit.wire import JSON, plain


class Records:
    """Values by key, private to the conversation (to the job, if it has no thread) and deleted with it.

    A value is JSON of at most 1 MB; a key is printable and has at most 200 characters; a conversation has at most
    10,000 records and 200 MB. Each write is atomic. After another worker has taken over the call, the old attempt can
    no longer write. Methods block, and may be called from any thread: in an `async def` tool use `asyncio.to_thread`.
    They raise `ToolError` beyond these limits.
    """

    def __init__(self, ask: Callable[[Asked], Any]) -> None:
        self._ask = ask

    def put(self, key: str, value: JSON) -> str:
        """Keep the value, and replace an earlier one with this key. Returns its version."""
        found: Found = self._ask(PutRecord(key=key, value=plain(value)))
        return str(found.value)

    def get(self, key: str) -> JSON:
        """Returns the value, or None if there is none."""
        found: Found = self._ask(GetRecord(key=key))
        return found.value

    def delete(self, key: str) -> None:
        """Does nothing if there is no such value."""
        self._ask(DeleteRecord(key=key))

    def versions(self, prefix: str = "") -> dict[str, str]:
        """Returns the keys that begin with the prefix, in the order in which they were first put; with each a version,
        which changes when its value does."""
        found: Found = self._ask(ListRecords(prefix=prefix))
        return dict(found.value)
