"""A tool that takes its process down fails alone; hosts do not outlive their worker."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import is_dead
from tests.toolkit.recording import ORIGIN, RecordingHandler
from tests.waiting import until
from toolkit.errors import ToolCrashed, ToolError, ToolHostsUnavailable
from toolkit.hosts import BOOT, ROOT
from toolkit.pool import HostPool

SAMPLE_TOOLS = Path(__file__).parent / "sample_tools"

ORPHANING_WORKER = """
import asyncio, sys
from pathlib import Path
from tests.toolkit.recording import ORIGIN, RecordingHandler
from toolkit.pool import HostPool

async def main():
    async with HostPool([Path(sys.argv[1])]) as pool:
        handlers = [RecordingHandler() for _ in range(3)]
        names = ("wait_stubbornly", "wait_in_process", "block_the_loop")
        arguments = ({}, {}, {"seconds": 60})
        calls = [pool.call(*of, ORIGIN, handler) for *of, handler in zip(names, arguments, handlers)]
        tasks = [asyncio.create_task(call) for call in calls]
        while not all(handler.logs for handler in handlers):
            await asyncio.sleep(0.02)
        print(*pool.host_pids, flush=True)
        await asyncio.gather(*tasks)

asyncio.run(main())
"""

AGENTS = """
import asyncio, os
from pathlib import Path
from toolkit import AgentContext, agent

@agent
async def waits(ctx: AgentContext, go: str = "") -> None:
    \"\"\"Waits for a file.\"\"\"
    ctx.log("info", f"{os.getpid()}")
    while not Path(go).exists():
        await asyncio.sleep(0.02)

@agent
async def dies(ctx: AgentContext) -> None:
    \"\"\"Ends its process.\"\"\"
    ctx.log("info", f"{os.getpid()}")
    await asyncio.sleep(0.05)
    os._exit(3)
"""


async def test_an_agent_that_ends_its_process_is_found_by_halves_and_nobody_waits_for_a_place(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "some.py").write_text(AGENTS)
    go = tmp_path / "go"
    bystanders = [RecordingHandler() for _ in range(20)]
    culprit = RecordingHandler()
    async with HostPool([tmp_path / "agents"], kind="agent", spare_hosts=0) as pool:
        waiting = [asyncio.create_task(pool.call("waits", {"go": str(go)}, ORIGIN, one)) for one in bystanders]
        await until(lambda: all(one.logs for one in bystanders), within=30, what="the others run")
        with pytest.raises(ToolCrashed, match=r"^The agent dies ended its process \(exit code 3\)\.$"):
            await pool.call("dies", {}, ORIGIN, culprit)
        later = asyncio.create_task(pool.call("waits", {"go": str(go)}, ORIGIN, RecordingHandler()))
        go.touch()
        await asyncio.gather(*waiting, later)
        await until(lambda: len(pool.host_pids) <= 2, within=30, what="the hosts of suspects end with their calls")
    assert [one.waits for one in bystanders] == [[]] * 20
    hosts = [line for _, line in culprit.logs]
    assert len(hosts) == len(set(hosts)) <= 6, "among 21 calls, 11, 6, 3 and 2 at most, and at last alone"
    assert min(len(one.logs) for one in bystanders) == 2, "half of them lost one host"


async def test_a_tool_that_ends_its_process_fails_with_a_clear_message(
    pool: HostPool, handler: RecordingHandler, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    with pytest.raises(ToolCrashed, match=r"^The tool leave ended its process \(exit code 1\)\.$"):
        await pool.call("leave", {"go": str(tmp_path / "go")}, ORIGIN, handler)
    assert await pool.call("add", {"left": 1}, ORIGIN, handler) == 2


async def test_a_host_that_breaks_the_protocol_is_ended(
    pool: HostPool, handler: RecordingHandler, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ToolCrashed, match=r"^The tool speak_out_of_turn ended its process \(SIGKILL"):
        await pool.call("speak_out_of_turn", {}, ORIGIN, handler)
    assert "tool host broke the protocol" in caplog.text


async def test_a_call_that_dies_every_time_is_the_culprit_at_the_second(
    pool: HostPool, handler: RecordingHandler, tmp_path: Path
) -> None:
    with pytest.raises(ToolCrashed, match=r"^The tool die_times ended its process \(exit code 1\)\.$"):
        await pool.call("die_times", {"marks": str(tmp_path / "marks"), "times": 9}, ORIGIN, handler)
    assert (tmp_path / "marks").read_text() == "ran\n" * 2


async def test_a_call_that_met_a_death_runs_a_second_time_in_a_host_of_its_own(
    pool: HostPool, handler: RecordingHandler, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    call = asyncio.create_task(pool.call("die_times", {"marks": str(marks), "times": 1}, ORIGIN, handler))
    await until(lambda: handler.said("run 2"), within=20, what="it runs the second time")
    neighbour = RecordingHandler()
    beside = asyncio.create_task(pool.call("say_process", {}, ORIGIN, neighbour))
    other = await beside
    (tmp_path / "go").touch()
    assert await call not in (None, other)
    assert marks.read_text() == "ran\n" * 2


async def test_the_neighbour_of_a_crash_completes(pool: HostPool, handler: RecordingHandler, tmp_path: Path) -> None:
    marks, go = tmp_path / "marks", tmp_path / "go"
    leaving = asyncio.create_task(pool.call("leave", {"go": str(go)}, ORIGIN, handler))
    arguments = {"seconds": 0.3, "marks": str(marks)}
    neighbour = asyncio.create_task(pool.call("wait_and_count", arguments, ORIGIN, RecordingHandler()))
    await until(lambda: handler.logs and marks.exists(), within=30, what="both run")
    go.touch()
    with pytest.raises(ToolCrashed, match="exit code 1"):
        await leaving
    assert await neighbour == "done"
    assert marks.read_text().count("ran") == 2  # beside the culprit, then alone


async def test_a_host_that_is_killed_fails_its_only_call(pool: HostPool, handler: RecordingHandler) -> None:
    call = asyncio.create_task(pool.call("wait_in_process", {}, ORIGIN, handler))
    await until(lambda: handler.logs, within=30, what="the tool runs")
    for pid in pool.host_pids:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(
        ToolCrashed, match=r"wait_in_process ended its process \(SIGKILL, perhaps because memory ran out\)"
    ):
        await call
    assert await pool.call("add", {"left": 1}, ORIGIN, handler) == 2


async def test_a_process_tool_that_kills_itself_with_memory_names_its_limit(
    pool: HostPool, handler: RecordingHandler
) -> None:
    sentence = r"^The tool abort_for_memory ended its process: perhaps it needed more than its 500 MB of memory\.$"
    with pytest.raises(ToolCrashed, match=sentence):
        await pool.call("abort_for_memory", {}, ORIGIN, handler)


async def test_a_tool_that_eats_eight_gigabytes_fails_alone(
    pool: HostPool, handler: RecordingHandler, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    arguments = {"seconds": 0.5, "marks": str(marks)}
    neighbour = asyncio.create_task(pool.call("wait_and_count", arguments, ORIGIN, RecordingHandler()))
    with pytest.raises(ToolError, match=r"^The tool eat_memory needed more than its 200 MB of memory\.$"):
        await pool.call("eat_memory", {"megabytes": 8000}, ORIGIN, handler)
    assert await neighbour == "done"
    assert marks.read_text() == "ran\n"


async def test_hosts_are_the_first_to_go_when_the_machine_has_no_memory_left(pool: HostPool) -> None:
    for pid in pool.host_pids:
        assert int(Path(f"/proc/{pid}/oom_score_adj").read_text()) > int(Path("/proc/self/oom_score_adj").read_text())


async def test_a_segfault_is_named(pool: HostPool, handler: RecordingHandler) -> None:
    with pytest.raises(ToolCrashed, match="SIGSEGV"):
        await pool.call("segfault", {}, ORIGIN, handler)


async def test_leaving_from_a_task_nobody_awaits_is_a_crash_of_that_call(
    pool: HostPool, handler: RecordingHandler
) -> None:
    with pytest.raises(ToolCrashed, match="exit code 4"):
        await pool.call("leave_from_loop", {"code": 4}, ORIGIN, handler)


async def test_a_lost_host_is_replaced_before_the_next_call(
    warm_pool: HostPool, handler: RecordingHandler, tmp_path: Path
) -> None:
    (tmp_path / "go").touch()
    with pytest.raises(ToolCrashed):
        await warm_pool.call("leave", {"go": str(tmp_path / "go")}, ORIGIN, handler)
    await until(lambda: len(warm_pool.host_pids) == 2, within=30, what="there are two again")


async def test_hosts_killed_while_idle_are_replaced(pool: HostPool, handler: RecordingHandler) -> None:
    killed = pool.host_pids
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    # A successor may be there before the last death is known: look for the dead, not for an empty pool.
    await until(lambda: not set(killed) & set(pool.host_pids), within=30, what="their death is known")
    assert await pool.call("add", {"left": 1}, ORIGIN, handler) == 2


async def test_all_hosts_end_with_a_killed_worker() -> None:
    command = (sys.executable, "-c", ORPHANING_WORKER, str(SAMPLE_TOOLS))
    worker = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert worker.stdout is not None
    try:
        pids = [int(pid) for pid in (await worker.stdout.readline()).split()]
        assert len(pids) >= 2
        assert not any(is_dead(pid) for pid in pids)
    finally:
        worker.kill()
        await worker.wait()
    await until(lambda: all(is_dead(pid) for pid in pids), within=30, what="all hosts have ended")


async def test_a_host_that_ends_while_it_loads_its_tools_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "fatal.py").write_text("import os\nos._exit(7)\n")
    with pytest.raises(ToolHostsUnavailable, match=r"ended while it loaded its tools \(exit code 7\)"):
        async with HostPool([tmp_path]):
            pass


async def test_a_host_that_never_gets_ready_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)\n")
    with pytest.raises(ToolHostsUnavailable, match=r"did not load its tools within 0\.5 s"):
        async with HostPool([tmp_path], start_seconds=0.5):
            pass


def test_a_host_that_cannot_reach_its_worker_ends_without_a_trace() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-c", BOOT, ROOT, str(theirs.fileno()), str(SAMPLE_TOOLS)]
        host = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, env={}, start_new_session=True
        )
        ours.shutdown(socket.SHUT_RD)  # what it sends is refused, although nobody tells it that this end is gone
        _, said = host.communicate(timeout=60)
    assert said == b""


CRASHING = """
import ctypes
import os

from toolkit import tool


@tool(run_in="process")
def leave_at_once() -> None:
    \"\"\"Leaves.\"\"\"
    os._exit(3)


@tool(run_in="process")
def read_nothing() -> None:
    \"\"\"Reads at the address 0.\"\"\"
    ctypes.string_at(0)
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("leave_at_once", r"ended its process with os\._exit\(3\) at crashing\.py:11 in leave_at_once\(\)"),
        ("read_nothing", r"Segmentation fault(.|\n)*crashing\.py\", line 17 in read_nothing"),
    ],
)
async def test_the_log_names_the_line_that_ended_a_process(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    (tmp_path / "crashing.py").write_text(CRASHING)
    async with HostPool([tmp_path], spare_hosts=0) as pool:
        with pytest.raises(ToolCrashed, match=name):
            await pool.call(name, {}, ORIGIN, RecordingHandler())
    assert re.search(said, capfd.readouterr().err)


async def test_a_syntax_error_that_is_saved_while_the_server_runs_is_told_with_its_file_and_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "crashing.py"
    file.write_text(CRASHING)
    async with HostPool([tmp_path], spare_hosts=0) as pool:
        file.write_text(CRASHING.replace("os._exit(3)", "os._exit(3"))
        with pytest.raises(
            ToolError, match=r"leave_at_once is no longer there\. .*/crashing\.py: not loaded: line 11: "
        ):
            await pool.call("leave_at_once", {}, ORIGIN, RecordingHandler())
    assert "tools not offered" in caplog.text
