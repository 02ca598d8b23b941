"""Write recordings: the host as it is, then operations with the answers of the kernel they were done on.

The format is that of `vfdeck replay`: one JSON object a line.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable
from typing import TextIO

from vfdeck.backend.kernel import Kernel, lines_since
from vfdeck.backend.player import Player, Step
from vfdeck.backend.vfio import DEVICES


def host_line(kernel: Kernel) -> Step:
    """The first line of a recording: release, `enable_sriov`, and every function with its state.

    Raises OSError (ETIMEDOUT) where somebody else's change waits in the kernel and keeps a function's files from being read.
    """
    functions: dict[str, Step] = {}
    player = Player(lambda name: kernel)
    for bdf in sorted(kernel.names(DEVICES)):
        state = player.do({"op": "state", "device": bdf})
        if state["result"] == "ENOENT":
            continue  # vanished meanwhile
        if state["result"] != "OK":
            raise OSError(errno.ETIMEDOUT, "a change of this function waits in the kernel", bdf)
        for name in ("vendor", "device", "class"):
            state[name] = kernel.read(f"{DEVICES}/{bdf}/{name}").decode().strip()
        functions[bdf] = state
    return {
        "op": "host",
        "kernel": kernel.read("/proc/sys/kernel/osrelease").decode().strip(),
        "enable_sriov": _enable_sriov(kernel),
        "functions": functions,
    }


def _enable_sriov(kernel: Kernel) -> str:
    """`Y` or `N`; `N` where the module or the parameter is absent."""
    try:
        return kernel.read("/sys/module/vfio_pci/parameters/enable_sriov").decode().strip()
    except OSError:
        return "N"


def record(kernel: Kernel, player: Player, steps: Iterable[Step], out: TextIO) -> int:
    """Do `steps` one by one and write each with its answer and the log lines it caused, after the host's line.

    Returns the number of steps.
    """
    out.write(json.dumps(host_line(kernel)) + "\n")
    count = 0
    lines = kernel.log() or []
    for step in steps:
        answer = player.do(step)
        before, lines = lines, kernel.log() or []
        caused = [line.text for line in lines_since(before, lines)]
        out.write(json.dumps({**step, **answer} | ({"log": caused} if caused else {})) + "\n")
        out.flush()
        count += 1
    return count
