"""What it costs to look for holders, beside lsof and fuser: `python -m tests.bench.processes 2000` prints a line of JSON.

The processes are real (`sleep`, each with 100 descriptors: files, sockets, pipes and event files), so that everybody reads the same
/proc. vfdeck sees it below a made-up root whose only vfio node is one that nobody has open.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

from tests.bench.measure import alternate
from vfdeck.backend.linux.procs import ProcessScan

DESCRIPTORS = 100
LATE = 10.0


def main(number: int, rounds: int = 3) -> dict[str, float]:
    """CPU seconds: of one complete look, of a later one after a second, of the whole command, of lsof and of fuser."""
    with tempfile.TemporaryDirectory(prefix="vfdeck-bench-") as folder, processes(number):
        root = Path(folder)
        made_up(root)
        first = median(_cpu(ProcessScan(folder), 0.0) for _ in range(rounds))
        scan, later = ProcessScan(folder), []
        scan.look()
        for _ in range(rounds):
            time.sleep(1)
            later.append(_cpu(scan, LATE))
        commands = {"command": [sys.executable, "-m", "vfdeck", "holders", "--root", folder]}
        commands |= {name: [path, *options, str(root / "file")] for name, options in PEERS.items() if (path := shutil.which(name))}
        # they exit with 1 where they find nobody, vfdeck with 77 where not everything could be looked at
        script = '"$@"; case $? in 0|1|77) ;; *) exit 2; esac'
        costs = alternate([["sh", "-c", script, "sh", *command] for command in commands.values()], rounds)
    found = {"processes": float(number), "first": first, "later": median(later)}
    return found | {name: cost.cpu for name, cost in zip(commands, costs, strict=True)}


#: Who else can tell who has a file open, with the options that make it quickest.
PEERS = {"lsof": ["-w", "-n", "-P"], "fuser": []}


def _cpu(scan: ProcessScan, late: float) -> float:
    begin = time.process_time()
    scan.look(late)
    return time.process_time() - begin


def made_up(root: Path) -> None:
    """A root with the real /proc, no PCI functions, and one vfio group."""
    (root / "proc").symlink_to("/proc")
    (root / "sys/bus/pci/devices").mkdir(parents=True)
    (root / "sys/class/vfio/1").mkdir(parents=True)
    (root / "sys/class/vfio/1/dev").write_text("511:99\n")
    (root / "file").touch()


@contextmanager
def processes(number: int) -> Iterator[None]:
    """So many processes that sleep, with `DESCRIPTORS` descriptors each."""
    inherited = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]
    inherited += [os.open("/etc/passwd", os.O_RDONLY) for _ in range(36)]
    sockets = [socket.socket() for _ in range(30)]
    inherited += [one.detach() for one in sockets] + [end for _ in range(7) for end in os.pipe()]
    inherited += [os.eventfd(0) for _ in range(DESCRIPTORS - 3 - len(inherited))]
    for name in os.listdir("/proc/self/fd"):  # what this program was given by others is not theirs
        with suppress(OSError):
            os.set_inheritable(int(name), int(name) < 3 or int(name) in inherited)
    children: list[int] = []
    try:
        for _ in range(number):
            children.append(os.posix_spawn("/bin/sleep", ["sleep", "600"], os.environ))
        yield
    finally:
        for child in children:
            os.kill(child, 9)
        for child in children:
            os.waitpid(child, 0)
        for fd in inherited:
            os.close(fd)


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
