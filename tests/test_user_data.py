"""`scripts/user`: all that is stored of one user, in an archive or gone, while the server runs."""

from __future__ import annotations

import asyncio
import json
import zipfile
from pathlib import Path

import httpx

from tests.api.conftest import KEYS_VARIABLE, client_of
from tests.conftest import StartServer
from tests.endpoint import script
from tests.server import ROOT, Server

SECONDS = 60


async def user_script(server: Server, *arguments: str, typed: str = "") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        str(ROOT / "scripts" / "user"),
        *arguments,
        env=server.environment,
        cwd=server.data_dir.parent,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(typed.encode()), SECONDS)
    assert process.returncode is not None
    return process.returncode, said.decode()


async def job_of(client: httpx.AsyncClient, **body: object) -> str:
    job = (await client.post("/api/jobs", json=body)).json()["id"]
    await client.get(f"/api/jobs/{job}/events")
    return str(job)


async def test_what_is_stored_of_a_user_is_exported_whole_and_erased_whole_and_nobody_elses(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = await start_server(LONGHAUL_API_KEYS=KEYS_VARIABLE)
    async with client_of(server, "ada") as ada, client_of(server, "bob") as bob:
        table = {"file": ("orders.csv", b"city,amount\nBerlin,1\nParis,2\n", "text/csv")}
        file = (await ada.post("/api/files", files=table)).json()["id"]
        turn = await job_of(ada, task="chat", input=script("of ada", tokens=3), thread_id="t", files=[file])
        sums = {"tables": [file], "sql": "SELECT sum(amount) AS total FROM orders"}
        tool = await job_of(ada, task="query_table", arguments=sums)
        theirs = await job_of(bob, task="chat", input=script("of bob", tokens=3), thread_id="u")

        archive = tmp_path / "ada.zip"
        code, said = await user_script(server, "export", "ada", str(archive))
        assert (code, said) == (0, f"2 jobs are in {archive}.\n")
        with zipfile.ZipFile(archive) as exported:
            names = exported.namelist()
            assert exported.read(f"files/{file}/orders.csv") == table["file"][1]
            assert [one["id"] for one in json.loads(exported.read("threads.json"))] == ["t"]
            events = json.loads(exported.read(f"jobs/{turn}.json"))["events"]
            assert "".join(one["text"] for one in events if one["type"] == "text.delta") == "w0 w1 w2 "
            assert any(name.startswith(f"artifacts/{tool}/") for name in names)
            assert not [name for name in names if theirs in name]
        assert (await user_script(server, "export", "ada", str(archive)))[0] == 2, "nothing is written over"

        code, said = await user_script(server, "erase", "ada", typed="eda\n")
        assert (code, (await ada.get(f"/api/jobs/{turn}")).status_code) == (2, 200), said
        running = (await ada.post("/api/jobs", json={"task": "chat", "input": script(tokens=9999, rate=20)})).json()
        code, said = await user_script(server, "erase", "ada", typed="ada\n")
        assert code == 0, said
        for job in (turn, tool, running["id"]):
            assert (await ada.get(f"/api/jobs/{job}")).status_code == 404
        assert (await ada.get("/api/files")).json()["data"] == []
        assert (await bob.get(f"/api/jobs/{theirs}")).json()["result"] == {"text": "w0 w1 w2 "}
    left = [path for path in server.data_dir.rglob("*") if path.is_file() and b"Berlin" in path.read_bytes()]
    assert left == []
