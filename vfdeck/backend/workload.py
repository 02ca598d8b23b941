"""What a program is, by its command line and control groups: its virtual machine, its container, its command line without tokens.

Command lines of other programs are the commonest place where VF tokens leak. Nothing that leaves this module holds one.

Sources: the options of QEMU (`-name`, `vf-token=`) and DPDK (`--vfio-vf-token`); the names that libvirt, systemd-machined, Docker,
Podman, containerd, CRI-O, the kubelet and LXC give their control groups.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from vfdeck.backend.kernel import Process
from vfdeck.backend.text import printable
from vfdeck.backend.token import Token, TokenError

#: Characters of a command line that are shown, and of a cgroup file that are looked at.
_READ = 1 << 17
#: So often may a program's texts speak of VF tokens; what comes after is not looked at. Each time takes some 20 microseconds.
_MOST_KEYS = 4096

# A key with "token" in it (vf-token, --vfio-vf-token, VFTOKEN), what may stand between it and its value (in an audit line of execve
# also the number of the argument: `a6="--vf-token" a7="..."`), and the value. Every part is bounded, so that no line takes long.
# What the kernel says of its own vfio_pci_validate_vf_token ("3 callbacks suppressed") is no value.
_KEYED = re.compile(
    r"""(((?<!validate_)vf(?:io)?[-_]?)?token[\w-]{0,16}["']{0,2}[\s=:]{1,8}(?:a\d{1,5}(?:\[\d{1,5}\])?=)?["']{0,2})([^\s,"']{1,120})""",
    re.IGNORECASE,
)
_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}(?![0-9a-f])", re.IGNORECASE)
# What a VF token is called, with what may follow the word (VFTOKEN_A), and how far behind it the token may stand.
_UUID_LENGTH = 36
_VF_KEY = re.compile(r"vf(?:io)?[-_. ]?token(?:[\w.-]{1,16}(?![\w.-]))?", re.IGNORECASE)
_NEAR = 200
_NEXT_OPTION = re.compile(r"\s--?[a-z]", re.IGNORECASE)
# What stands before a UUID that is no token: a path or a longer word, or a key of its own (`uuid=`), but for those of any value.
_WITHIN = re.compile(r"(?<!%[0-9a-f])[\w/.-]$", re.IGNORECASE)
_OWN_KEY = re.compile(r"""(?:^|[\s,;&({])["']?([a-z_][\w.-]{0,40})["']?\s{0,4}[=:]\s{0,4}["'({]{0,3}$""", re.IGNORECASE)
_ANY_VALUE = ("token", "value")

_VM_PROGRAMS = ("qemu", "kvm")
# libvirt: machine-qemu\x2d3\x2dweb.scope; the name may be cut there, so that QEMU's own -name goes first
_LIBVIRT = re.compile(r"machine-qemu\\x2d\d+\\x2d([^/\n]+?)\.scope")
_ESCAPED = re.compile(r"\\x([0-9a-f]{2})")

_POD = re.compile(
    r"pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice|/|$)", re.M
)
_CONTAINERS = (
    (re.compile(r"(?:/docker/|docker-)([0-9a-f]{64})"), "docker"),
    (re.compile(r"libpod-([0-9a-f]{64})"), "podman"),
    (re.compile(r"cri-containerd[-:]([0-9a-f]{64})"), "containerd"),
    (re.compile(r"crio-([0-9a-f]{64})"), "cri-o"),
    (re.compile(r"lxc\.payload[./]([^/\n]+)"), "lxc"),
    (re.compile(r"/lxc/([^/\n]+)"), "lxc"),
    (re.compile(r"systemd-nspawn@([^/\n]+?)\.service"), "nspawn"),
    (re.compile(r"pod[0-9a-f_-]{32,36}(?:\.slice)?/([0-9a-f]{64})"), "container"),
)


def process(
    pid: int,
    name: str,
    user: str = "",
    started: float | None = None,
    arguments: Sequence[str] = (),
    cgroup: str = "",
    variables: Sequence[str] = (),
    ticks: int | None = None,
) -> Process:
    """The value for a program. `arguments`, `cgroup` (the text of /proc/PID/cgroup) and `variables` (NAME=value) are raw."""
    tokens = {token.fingerprint for token in carried(arguments, variables)}
    return Process(
        pid,
        printable(redacted(name)),
        printable(user),
        started,
        command=printable(redacted(" ".join(arguments)[:_READ])),
        vm=printable(vm_name(arguments, cgroup[:_READ])),
        container=printable(container_name(cgroup[:_READ])),
        tokens=tuple(sorted(tokens)),
        ticks=ticks,
    )


# -- tokens --------------------------------------------------------------------------------------------------------------
def redacted(text: str) -> str:
    """A command line with every VF token replaced by its fingerprint, or hidden where it is malformed.

    Where a text speaks of a token anywhere, every UUID in it is taken for one: keys and values are parted in too many ways.
    """
    if "token" not in text.lower():
        return text
    return _UUID.sub(_print, _KEYED.sub(_redact, text))


def _print(found: re.Match[str]) -> str:
    token = _token(found[0])
    return f"#{token.fingerprint}" if token else "(hidden)"


def _redact(match: re.Match[str]) -> str:
    key, of_a_vf, value = match.groups()
    if _UUID.search(value) is None:
        return f"{key}(hidden)" if of_a_vf else match[0]
    return key + _UUID.sub(_print, value)


def carried(arguments: Sequence[str] = (), variables: Sequence[str] = ()) -> Iterator[Token]:
    """The VF tokens of a program's arguments and variables: the values of an option follow it, variables stand alone.

    Whatever their length, all of them are looked at; but see `carries_more`.
    """
    left = _MOST_KEYS
    for text in (" ".join(arguments), *variables):
        keys = list(islice(_VF_KEY.finditer(text), left))
        left -= len(keys)
        yield from _values(text, keys)
        if left <= 0:
            return


def carries_more(arguments: Sequence[str] = (), variables: Sequence[str] = ()) -> bool:
    """Whether these speak of VF tokens so often that `carried` does not come to the end of them."""
    keys = (key for text in (" ".join(arguments), *variables) for key in _VF_KEY.finditer(text))
    return next(islice(keys, _MOST_KEYS, None), None) is not None


def tokens_in(text: str) -> Iterator[Token]:
    """The VF tokens of a command line, or of a variable of an environment with its name; no other tokens and UUIDs.

    All that is found here `redacted` hides. It hides more: there a UUID too many does no harm.
    """
    return _values(text, list(islice(_VF_KEY.finditer(text), _MOST_KEYS)))


def _values(text: str, keys: Sequence[re.Match[str]]) -> Iterator[Token]:
    """The tokens that stand behind these keys."""
    done = 0
    for key in keys:
        option = _NEXT_OPTION.search(text, key.end(), key.end() + _NEAR)
        end = option.start() if option else key.end() + _NEAR
        for found in _UUID.finditer(text, max(done, key.end()), end + _UUID_LENGTH):
            done = found.end()
            token = _token(found[0]) if found.start() <= end and _is_value(text[key.end() : found.start()]) else None
            if token is not None:
                yield token


def _is_value(before: str) -> bool:
    """Whether a UUID belongs to the key of a VF token, by what stands between them."""
    if before.isidentifier() or before in ("", "-", "."):  # written as one word
        return True
    own = _OWN_KEY.search(before)
    return _WITHIN.search(before) is None and (own is None or own[1].lower() in _ANY_VALUE)


def _token(text: str) -> Token | None:
    try:
        return Token.parse(text)
    except TokenError:  # hyphens in odd places
        return None


# -- where it runs -------------------------------------------------------------------------------------------------------
def vm_name(arguments: Sequence[str], cgroup: str) -> str:
    """The name of the virtual machine that a QEMU runs, "" for other programs and where it has none."""
    program = os.path.basename(arguments[0]) if arguments else ""
    if program.startswith(_VM_PROGRAMS):
        for option, value in zip(arguments, arguments[1:]):
            if option in ("-name", "--name") and (name := _guest(value)):
                return name
    found = _LIBVIRT.search(cgroup)
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), found[1]) if found else ""


def _guest(value: str) -> str:
    """`web` of `guest=web,debug-threads=on` and of `web,process=x`; a comma in a name is doubled."""
    parts = [part.replace("\0", ",") for part in value.replace(",,", "\0").split(",")]
    named = [part.removeprefix("guest=") for part in parts if part.startswith("guest=")]
    if named:
        return named[0]
    return parts[0] if "=" not in parts[0] else ""


def container_name(cgroup: str) -> str:
    """Pod and container by their control groups: `docker 4f1c2d3e5a6b`, `pod 1b2c…, containerd 9f…`; "" outside of any."""
    words = []
    pod = _POD.search(cgroup)
    if pod is not None:
        words.append(f"pod {pod[1].replace('_', '-')}")
    for pattern, runtime in _CONTAINERS:
        found = pattern.search(cgroup)
        if found is not None:
            name = found[1]
            words.append(f"{runtime} {name[:12] if len(name) == 64 else name}")
            break
    return ", ".join(words)
