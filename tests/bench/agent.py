"""What the agent costs: `python -m tests.bench.agent 8192` prints a line of JSON.

A process of its own serves a made-up root with so many VFs; it is asked over a pipe, as a client far away would. Its CPU is that of
its process in /proc. What a delta costs is measured in this process, from one look to the next without the looking. Then ten hosts
are followed at once, each by the client that the dashboard has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from tests.fabricate import build, fleet
from vfdeck.backend.agent.framing import REPLY, Reader, message
from vfdeck.backend.agent.protocol import INTERFACE
from vfdeck.backend.agent.remote_host import RemoteHost
from vfdeck.backend.agent.service import delta, merged
from vfdeck.backend.agent.transports import Local
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.local_host import LocalHost

#: Older than any look of a run: what was seen is good enough.
AGE = 3600 * 10**9
TEN = 10
IMPORT = "import time; begin = time.process_time(); import vfdeck.backend.agent.server; print(time.process_time() - begin)"


class Agent:
    """An agent on a pipe, and what it answers."""

    def __init__(self, root: str) -> None:
        command = [sys.executable, "-m", "vfdeck", "agent", "--root", root]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._reader = Reader(REPLY, once=False)
        self.received = 0  # bytes

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer, read while it comes. Raises RuntimeError where it is an error, or none comes."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(message({"method": f"{INTERFACE}.{method}", "parameters": parameters, "more": True}))
        self._process.stdin.flush()
        answers: list[dict[str, Any]] = []
        while data := os.read(self._process.stdout.fileno(), 1 << 20):
            self.received += len(data)
            for reply in self._reader.feed(data):
                if "error" in reply:
                    raise RuntimeError(f"{method}: {reply['error']}")
                answers.append(reply["parameters"])
                if not reply.get("continues"):
                    return merged(answers)
        raise RuntimeError(f"{method}: the agent has ended")

    @property
    def cpu(self) -> float:
        """Seconds that its process has run, with all threads that it ever had; in steps of the kernel's clock tick."""
        user, system = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> int:
        """Bytes that were resident at the most."""
        status = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in status if line.startswith("VmHWM:"))) * 1024

    def close(self) -> float:
        """End it by closing its input; how long it took to go."""
        assert self._process.stdin
        assert self._process.stdout
        begin = time.perf_counter()
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()
        return time.perf_counter() - begin


def main(vfs: int, rounds: int = 5) -> dict[str, float]:
    """Seconds, of CPU for the import, a poll that finds nothing new and a delta, else by the clock; bytes."""
    imports = [float(subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, check=True).stdout) for _ in range(rounds)]
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="vfdeck-bench-", dir=place) as folder:
        build(Path(folder), fleet(vfs))
        agent = Agent(folder)
        agent.call("Hello", protocol_min=1, protocol_max=1)
        empty = agent.memory
        call = median(_timed(lambda: agent.call("Operation", key="0" * 36), RuntimeError) for _ in range(200))
        first = agent.call("Snapshot", age_ns=AGE)
        assert len(first["snapshot"]["functions"]) >= vfs
        before = agent.received
        generation = agent.call("Snapshot", age_ns=AGE, since=first["generation"])["generation"]
        size = agent.received - before
        spent, polls = agent.cpu, 1000
        for _ in range(polls):
            assert agent.call("Snapshot", age_ns=AGE, since=generation)["unchanged"]
        poll = (agent.cpu - spent) / polls
        whole = median(_timed(lambda: agent.call("Snapshot", age_ns=AGE)) for _ in range(rounds))
        looked = median(_timed(lambda: agent.call("Snapshot")) for _ in range(rounds))
        same = median(_timed(lambda: agent.call("Snapshot", since=generation)) for _ in range(rounds))
        memory = agent.memory
        end = agent.close()
        changed = _delta(LinuxKernel(folder), rounds)
    ten = _ten_hosts(place)
    return {
        "vfs": float(vfs), "import": median(imports), "call": call, "poll": poll, "poll_bytes": float(size), "whole": whole,
        "looked": looked, "same": same, "delta": changed, "empty": float(empty), "memory": float(memory), "end": end,
        **ten,
    }  # fmt: skip


def _ten_hosts(place: str | None) -> dict[str, float]:
    """Ten agents, as if ssh led to them: seconds until all pictures are there, this process's CPU of that and of looking again."""
    with tempfile.TemporaryDirectory(prefix="vfdeck-bench-", dir=place) as folder, ThreadPoolExecutor(TEN) as pool:
        build(Path(folder), fleet(64))
        hosts = [RemoteHost(f"hv-{number}", Local(), folder) for number in range(TEN)]
        begin, spent = time.perf_counter(), time.process_time()
        for seen in pool.map(RemoteHost.snapshot, hosts):
            if seen.away is not None:
                raise RuntimeError(seen.away.what)
        first, first_cpu = time.perf_counter() - begin, time.process_time() - spent
        again = []
        for _ in range(TEN):
            spent = time.process_time()
            list(pool.map(RemoteHost.snapshot, hosts))
            again.append(time.process_time() - spent)
        for host in hosts:
            host.close()
    return {"ten": first, "ten_cpu": first_cpu, "ten_again": median(again)}


def _delta(kernel: LinuxKernel, rounds: int) -> float:
    """CPU seconds of what is sent after one function has changed."""
    old = LocalHost(kernel).snapshot()
    bdf = next(reversed(old.functions))
    new = replace(old, functions={**old.functions, bdf: replace(old.functions[bdf], driver="another")})
    spent = []
    for _ in range(rounds):
        begin = time.process_time()
        message(delta(old, new))
        spent.append(time.process_time() - begin)
    return median(spent)


def _timed(work: Callable[[], object], expected: type[Exception] | None = None) -> float:
    begin = time.perf_counter()
    try:
        work()
    except Exception as error:
        if expected is None or not isinstance(error, expected):
            raise
    return time.perf_counter() - begin


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8192)))
