"""Uploads of one's own: listed, deleted, limited; the queue of one's own jobs is limited too."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.conftest import StartServer
from tests.endpoint import script


async def upload(client: httpx.AsyncClient, data: bytes = b"hello", name: str = "note.txt") -> httpx.Response:
    return await client.post("/api/files", files={"file": (name, data, "text/plain")})


async def listed(client: httpx.AsyncClient, **query: object) -> dict[str, object]:
    answer = await client.get("/api/files", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200
    found: dict[str, object] = answer.json()
    return found


async def test_files_are_listed_newest_first_page_by_page_and_only_ones_own(
    ada: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    ids = [(await upload(ada, name=f"{n}.txt")).json()["id"] for n in range(3)]
    first = await listed(ada, limit=2)
    assert [one["id"] for one in first["data"]] == ids[:0:-1]  # type: ignore[attr-defined]
    assert first["has_more"]
    rest = await listed(ada, limit=2, before=ids[1])
    assert rest["data"][0]["id"] == ids[0]  # type: ignore[index]
    assert set(rest["data"][0]) == {"id", "name", "mime", "size", "created_at", "used_by"}  # type: ignore[index]
    others = await listed(bob, limit=100)
    assert not {one["id"] for one in others["data"]} & set(ids)  # type: ignore[attr-defined]


async def test_a_file_is_deleted_by_its_owner_alone(ada: httpx.AsyncClient, bob: httpx.AsyncClient) -> None:
    file = (await upload(ada)).json()["id"]
    assert (await bob.delete(f"/api/files/{file}")).status_code == 404
    assert (await ada.delete(f"/api/files/{file}")).status_code == 204
    assert (await ada.delete(f"/api/files/{file}")).status_code == 404
    refused = await ada.post("/api/jobs", json={"task": "chat", "input": "tokens=1", "files": [file]})
    assert refused.status_code == 404


async def test_a_file_is_kept_while_a_running_job_uses_it(ada: httpx.AsyncClient) -> None:
    file = (await upload(ada)).json()["id"]
    question = {"task": "chat", "input": script(tokens=500, rate=20), "files": [file]}
    job = (await ada.post("/api/jobs", json=question)).json()["id"]
    refused = await ada.delete(f"/api/files/{file}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    [mine] = [one for one in (await listed(ada))["data"] if one["id"] == file]  # type: ignore[attr-defined]
    assert mine["used_by"] == 1
    await ada.post(f"/api/jobs/{job}/cancel")
    async with ada.stream("GET", f"/api/jobs/{job}/events") as events:
        await events.aread()
    assert (await ada.delete(f"/api/files/{file}")).status_code == 204


@pytest.mark.parametrize("id", ["..", "%2e%2e%2fjobs.db", "file_x", "x" * 300, "file_%00"])
async def test_what_is_no_files_id_is_not_found(ada: httpx.AsyncClient, id: str) -> None:
    assert (await ada.delete(f"/api/files/{id}")).status_code in {404, 405, 422}


async def test_beyond_ones_storage_an_upload_is_413_and_beyond_ones_queue_a_job_is_429(
    start_server: StartServer, tmp_path: Path
) -> None:
    server = await start_server(
        LONGHAUL_USER_STORAGE_MB="1", LONGHAUL_USER_QUEUE="2", LONGHAUL_WORKER_SLOTS="1", LONGHAUL_MAX_UPLOAD_MB="2"
    )
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        assert (await upload(client, b"x" * 900_000)).status_code == 201
        refused = await upload(client, b"x" * 200_000)
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "storage_full")
        assert "delete files" in refused.json()["error"]["message"]
        assert not [*server.data_dir.glob("spool/*")]
        assert len([*server.data_dir.glob("files/uploads/*")]) == 1, "nothing is left of what was refused"

        endless = {"task": "chat", "input": script(tokens=5000, rate=20)}
        running = (await client.post("/api/jobs", json=endless)).json()["id"]
        async with client.stream("GET", f"/api/jobs/{running}/events") as events:
            async for line in events.aiter_lines():
                if line == "event: text.delta":
                    break
        waiting = [(await client.post("/api/jobs", json=endless)).json()["id"] for _ in range(2)]
        for door, body in (
            ("/api/jobs", endless),
            ("/v1/responses", {"model": "test-model", "input": "hi", "background": True}),
            ("/chat-stream", {"messages": [{"role": "user", "text": "hi"}]}),
        ):
            full = await client.post(door, json=body)
            assert full.status_code == 429, door
            assert int(full.headers["Retry-After"]) > 0
            assert "Your queue is full (2)" in full.text
        await client.post(f"/api/jobs/{waiting[0]}/cancel")
        assert (await client.post("/api/jobs", json=endless)).status_code == 202
