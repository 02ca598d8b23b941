"""`make bench`: a table for people and JSON for machines. ARGS="--help" tells what can be chosen."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.measure import alternate, memory_floor, run

VFDECK = [sys.executable, "-m", "vfdeck"]
NOT_MEASURED = "not measured"
Row = dict[str, Any]


def main() -> int:
    """Measure everything, print it, and keep the JSON."""
    options = _options()
    rows: list[Row] = []
    with _bytecode():
        for row in _rows(options):
            rows.append(row)
            print(_line(row), flush=True)
    report = {
        "version": 1,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "rows": rows,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(f"as JSON: {options.json}")
    return 0


@contextmanager
def _bytecode() -> Iterator[None]:
    """Programs that are measured find their modules compiled, as after the first start: where that is kept from Python, every
    start costs some 250 ms more."""
    with tempfile.TemporaryDirectory(prefix="vfdeck-bench-") as folder:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = folder
        yield


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 1024, 8192], metavar="N", help="numbers of VFs")
    parser.add_argument("--processes", type=int, default=2000, metavar="N", help="processes, of 100 descriptors each, for holders")
    parser.add_argument("--rounds", type=int, default=5, help="how often each command is run; medians are shown")
    parser.add_argument(
        "--traces", type=Path, default=Path("tests"), metavar="DIR", help="where recordings (*.jsonl) are looked for"
    )
    parser.add_argument("--json", type=Path, default=Path(".cache/bench.json"), metavar="FILE", help="where the JSON goes")
    return parser.parse_args()


def _rows(options: argparse.Namespace) -> Iterator[Row]:
    peer = _lspci()
    for size in options.sizes:
        yield _tree(size, peer, options.rounds)
    yield _replay(options.traces)
    yield _holders(options.processes)
    yield _help(options.rounds)
    paint = _paint(options.rounds)
    yield paint
    yield _measured("fleet", "tests.bench.fleet") | {"one_host_first": paint.get("cpu", 0.0)}
    yield _measured("keys", "tests.bench.keys")
    yield _measured("agent", "tests.bench.agent")


# -- rows ----------------------------------------------------------------------------------------------------------------


def _lspci() -> str | None:
    """pciutils, installed where it is missing and we may; None where it can't be had."""
    if shutil.which("lspci") is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "--yes", "--quiet", "pciutils"], capture_output=True, check=False)
    return shutil.which("lspci")


def _tree(size: int, peer: str | None, rounds: int) -> Row:
    # in memory where possible, as the real sysfs is
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="vfdeck-bench-", dir=place) as root:
        build = f"from pathlib import Path; from tests.fabricate import *; build(Path({root!r}), fleet({size}))"
        subprocess.run([sys.executable, "-c", build], check=True)
        commands: list[Sequence[str]] = [[*VFDECK, "tree", "--json", "--root", root]]
        if peer is not None:
            commands.append([peer, "-O", f"sysfs.path={root}/sys/bus/pci", "-D", "-k", "-n"])
        ours, *theirs = alternate(commands, rounds)
    row: Row = {"what": "tree", "vfs": size, "seconds": ours.wall, "cpu": ours.cpu, "memory": ours.memory}
    if theirs:
        other = theirs[0]
        row |= {"peer": "lspci", "peer_seconds": other.wall, "peer_cpu": other.cpu, "peer_memory": other.memory}
        row |= {
            "peer_memory_is_a_bound": other.memory <= memory_floor(),
            "ratio": ours.wall / other.wall,
            "cpu_ratio": ours.cpu / other.cpu,
        }
    return row


def _replay(folder: Path) -> Row:
    """Steps per second over all recordings that are found, by the best of three runs in a process of its own."""
    traces = sorted(str(path) for path in folder.rglob("*.jsonl"))
    if not traces:
        return {"what": "replay", "reason": f"no recordings below {folder}"}
    script = (
        "import sys, time; from vfdeck.backend.replay import replay_file; best = 0.0\n"
        "for _ in range(3):\n"
        "    begin = time.perf_counter(); steps = sum(replay_file(path).steps for path in sys.argv[1:])\n"
        "    best = max(best, steps / (time.perf_counter() - begin))\n"
        "print(steps, best)"
    )
    result = subprocess.run([sys.executable, "-c", script, *traces], capture_output=True, text=True, check=False)
    if result.returncode:
        return {"what": "replay", "reason": result.stderr.strip().rpartition("\n")[2]}
    steps, speed = result.stdout.split()
    return {"what": "replay", "steps": int(steps), "steps_per_second": float(speed)}


def _holders(number: int) -> Row:
    """Looking for holders among so many processes, beside lsof and fuser where they are installed."""
    command = [sys.executable, "-m", "tests.bench.processes", str(number)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        return {"what": "holders", "reason": result.stderr.strip().rpartition("\n")[2]}
    return {"what": "holders", **json.loads(result.stdout), "aim": 0.5}


def _help(rounds: int) -> Row:
    (cost,) = alternate([[*VFDECK, "--help"]], rounds)
    return {"what": "help", "cpu": cost.cpu, "aim": 0.06}


def _paint(rounds: int) -> Row:
    results = [
        subprocess.run([sys.executable, "-m", "tests.bench.paint"], capture_output=True, text=True, check=False)
        for _ in range(rounds + 1)
    ][1:]  # the first one compiles
    failed = [result.stderr.strip().rpartition("\n")[2] for result in results if result.returncode]
    if failed:
        return {"what": "paint", "reason": failed[0]}
    return {"what": "paint", "cpu": median(float(result.stdout) for result in results), "aim": 0.5}


def _measured(what: str, module: str) -> Row:
    """What a module prints as JSON in its last line."""
    result = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True, check=False)
    if result.returncode:
        return {"what": what, "reason": result.stderr.strip().rpartition("\n")[2]}
    return {"what": what, **json.loads(result.stdout.strip().rpartition("\n")[2]), **_AIMS[what]}


#: Seconds of CPU (idle: a share of one processor), bytes.
_AIMS: dict[str, Row] = {
    "fleet": {"aim_first": 1.0, "aim_idle": 0.01, "aim_above": 120 * 2**20},
    "keys": {"aim": 0.02},
    "agent": {
        "aim_import": 0.03,
        "aim_call": 0.001,
        "aim_poll": 0.0005,
        "aim_whole": 0.1,
        "aim_delta": 0.002,
        "aim_memory": 40 * 2**20,
    },
}


# -- the table -----------------------------------------------------------------------------------------------------------


def _line(row: Row) -> str:
    names = {
        "tree": f"tree --json of {row.get('vfs')} VFs",
        "replay": "replay",
        "holders": "holders",
        "help": "--help",
        "paint": "demo, first paint",
        "fleet": f"fleet of {row.get('vfs', 0):,.0f} VFs",
        "keys": "its keys",
        "agent": f"agent, {row.get('vfs', 0):,.0f} VFs",
    }
    name = f"{names[row['what']]:<24}"
    if "reason" in row:
        return f"{name}{NOT_MEASURED}: {row['reason']}"
    if row["what"] == "replay":
        return f"{name}{row['steps_per_second']:.0f} steps/s over {row['steps']} steps"
    if row["what"] == "holders":
        peers = "   ".join(f"{peer} {row[peer] * 1000:.0f} ms" if peer in row else f"{peer} missing" for peer in ("lsof", "fuser"))
        ours = f"{row['first'] * 1000:.0f} ms CPU (aim: below {row['aim'] * 1000:.0f}), {row['later'] * 1000:.0f} ms a second later"
        return f"{name}{ours}; as a command {row['command'] * 1000:.0f} ms   {peers}"
    if row["what"] in _WORDS:
        return name + _WORDS[row["what"]](row)
    if row["what"] != "tree":
        return f"{name}{row['cpu'] * 1000:.0f} ms CPU (aim: below {row['aim'] * 1000:.0f})"
    ours = f"{row['seconds'] * 1000:6.0f} ms {row['cpu'] * 1000:6.0f} ms CPU {row['memory'] / 2**20:4.0f} MiB"
    if "peer" not in row:
        return f"{name}{ours}   peer missing: no lspci here"
    bound = "<" if row["peer_memory_is_a_bound"] else ""
    theirs = (
        f"{row['peer_seconds'] * 1000:6.0f} ms {row['peer_cpu'] * 1000:6.0f} ms CPU {bound}{row['peer_memory'] / 2**20:.0f} MiB"
    )
    return f"{name}{ours}   lspci {theirs}   ratio {row['ratio']:.2f} (CPU {row['cpu_ratio']:.2f})"


def _fleet(row: Row) -> str:
    """What the whole dashboard takes on a fleet."""
    times = f", {row['first'] / row['one_host_first']:.1f} times that of one host" if row["one_host_first"] else ""
    above = (row["process"] - row["snapshots"]) / 2**20
    pieces = [
        f"first paint {row['first'] * 1000:.0f} ms CPU{times} (aim: below {row['aim_first'] * 1000:.0f})",
        f"all {row['hosts']:,.0f} hosts read {row['read']:.1f} s CPU",
        f"idle {row['idle']:.1%} of a CPU (aim: below {row['aim_idle']:.0%})",
        f"snapshots {row['snapshots'] / 2**20:.0f} MiB, the process {above:.0f} MiB more (aim: below {row['aim_above'] >> 20})",
    ]
    return "; ".join(pieces)


def _keys(row: Row) -> str:
    """What its keys take."""
    pieces = [
        f"at most {row['worst'] * 1000:.0f} ms CPU at a stretch, for {row['worst_key']} (aim: below {row['aim'] * 1000:.0f})",
        f"{row['median'] * 1000:.0f} ms in all for half of {row['keys']} keys",
        f"{row['one_host'] * 1000:.0f} ms for a host that changed",
    ]
    return "; ".join([*pieces, f"over the aim: {', '.join(row['over'])}"] if row["over"] else pieces)


def _agent(row: Row) -> str:
    """What the agent takes, and how much the other side waits for it."""

    def ms(name: str) -> str:
        return f"{row[name] * 1000:.1f} ms"

    def aim(name: str) -> str:
        return f"(aim: below {row['aim_' + name] * 1000:g} ms)"

    pieces = [
        f"import {ms('import')} CPU {aim('import')}",
        f"a call {row['call'] * 1000:.2f} ms {aim('call')}",
        f"nothing new {row['poll'] * 1000:.2f} ms CPU and {row['poll_bytes']:.0f} bytes {aim('poll')}, {ms('same')} with a look",
        f"all of it {ms('whole')} {aim('whole')}, {ms('looked')} with a look",
        f"one change {ms('delta')} CPU {aim('delta')} without the look",
        f"{row['memory'] / 2**20:.0f} MiB, {row['empty'] / 2**20:.0f} after the first look (aim: below {row['aim_memory'] >> 20})",
        f"gone within {ms('end')}",
        f"ten hosts of 64 VFs: all there after {ms('ten')}, {ms('ten_cpu')} CPU here, {ms('ten_again')} to look at all again",
    ]
    return "; ".join(pieces)


_WORDS: dict[str, Callable[[Row], str]] = {"fleet": _fleet, "keys": _keys, "agent": _agent}


if __name__ == "__main__":
    run([sys.executable, "-c", "import vfdeck.backend.report"])  # fails early where there is nothing to measure
    sys.exit(main())
