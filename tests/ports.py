"""Ports for servers that tests start, stop and start again."""

import itertools
import os
import random
import socket

FIRST, PORTS_EACH, PROCESSES = 10_000, 2_500, 8
"""Below the ports that Linux gives to whoever asks for any (from 32,768): a server that is down keeps its port."""


def _of_this_process() -> range:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES
    return range(FIRST + number * PORTS_EACH, FIRST + (number + 1) * PORTS_EACH)


_ports = itertools.cycle(_of_this_process())
for _ in range(random.SystemRandom().randrange(PORTS_EACH)):  # two runs on one machine begin at different ports
    next(_ports)


def free_port() -> int:
    """Returns a port of 127.0.0.1 that nobody listens on, and that this run gives to nobody else."""
    for port in itertools.islice(_ports, PORTS_EACH):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port")
