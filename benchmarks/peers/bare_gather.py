"""A prompt over many rows as one writes it in an afternoon: `asyncio.gather` behind a semaphore, nothing kept.

Says how many seconds the rows took, and how many of the processor's, once the libraries are loaded. The client is the
one that Longhaul uses.
"""

import asyncio
import sys
import time

from langchain_core.messages import HumanMessage, SystemMessage

from models.calls import TokenStream
from models.models import ModelSettings
from models.upstream import Upstream
from tools.mapping.asking import INSTRUCTION


async def main(url: str, prompt: str, rows: int, concurrency: int) -> None:
    upstream = Upstream(ModelSettings(model="bench-model", base_url=url, api_key="bench-key"))
    model = upstream.model(None, "complete", TokenStream(None, limit_bytes=sys.maxsize))
    slots = asyncio.Semaphore(concurrency)

    async def ask(row: int) -> str:
        async with slots:
            messages = [SystemMessage(INSTRUCTION), HumanMessage(prompt.replace("{id}", str(row)))]
            return str((await model.ainvoke(messages)).text)

    await ask(0)
    begun, used = time.perf_counter(), time.process_time()
    answers = await asyncio.gather(*(ask(row) for row in range(rows)))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - used
    assert all(answers)
    await upstream.aclose()
    print(seconds, cpu)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
