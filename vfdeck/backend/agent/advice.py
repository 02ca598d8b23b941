"""What a person can do where there is no agent, by why there is none."""

from __future__ import annotations

from vfdeck.backend.agent.connection import Refused
from vfdeck.backend.agent.transports import Fault, Unreached

#: `{name}`: the host, as ssh knows it; what has it is for hosts that are reached by ssh.
_FAULTS = {
    Fault.LOGIN: "`ssh {name}` must log in without asking for anything (a key in the agent, a certificate)",
    Fault.HOST_KEY: "compare the key with who runs the host; `ssh {name}` shows it",
    Fault.SUDO: "a password can be given only here, where vfdeck begins at a terminal; else it takes a rule without one, as "
    "`vfdeck agent --units DIR` writes it, or root's login",
    Fault.NO_SUDO: "install it there, or log in as root without --sudo",
    Fault.NO_PYTHON: "install one there",
    Fault.PROTOCOL: "`ssh {name} true` must print nothing and end with 0",
    Fault.UNREACHABLE: "does `ssh {name}` get there?",
}


def advice(fault: Exception, name: str) -> str:
    """What to do about a fault, a clause; "" where there is nothing to say.

    `name`: the host's, safe in a shell; "" where it is not reached by ssh.
    """
    if isinstance(fault, Unreached):
        text = _FAULTS.get(fault.fault, "")
        return text.format(name=name) if name or "{name}" not in text else ""
    return "its vfdeck and this one are of different versions" if isinstance(fault, Refused) else ""
