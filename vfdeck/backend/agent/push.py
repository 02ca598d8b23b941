"""The agent for a host that has nothing but a Python 3.9: one program, sent to it and kept in memory there.

Two parts. `command` is constant but for a length, a digest and a marker, so that nothing of it is secret or long: it looks for
a Python, echoes the marker (what a login shell prints comes before it), reads exactly so many bytes, and runs them if their digest
is right. `pack` makes those bytes: the sources and tables of the backend, and a loader for them. Nothing is written to the host's
disk.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
import tomllib
import zlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

#: Where a system's own Python is; never one of a user's PATH. The second is that of RHEL 8 and its kin.
PYTHONS: tuple[str, ...] = ("/usr/bin/python3", "/usr/libexec/platform-python", "/usr/local/bin/python3")
PYTHONS += tuple(f"/usr/bin/python3.{minor}" for minor in range(14, 8, -1))

#: What is said where there is none, after the marker; exit status 127, as a shell's.
NO_PYTHON = "no Python 3.9 or newer"

# What is of no use on a host: the simulated hardware (but for its table of drivers, by which real drivers are known too), and what
# reads recordings.
_NOT_SENT = ("vfdeck/backend/sim/", "vfdeck/backend/replay.py", "vfdeck/backend/player.py", "vfdeck/backend/record.py")
_SENT_OF_SIM = tuple(f"vfdeck/backend/sim/{name}" for name in ("__init__.py", "drivers.py", "drivers.toml"))

# One line without quotes, backslashes, `$` and `!`: every login shell hands it on unharmed. Arguments: length, digest, marker,
# and modules with a SHA-256 (`vfdeck.backend.digest` says why): the first that is there serves.
_BOOT = (
    "import sys,os,zlib,importlib.util as u;"
    "h=__import__(next(filter(u.find_spec,sys.argv[4:])));"
    "n=int(sys.argv[1]);b=bytearray();"
    "os.write(1,sys.argv[3].encode()+bytes([10]));"
    "[b.extend(os.read(0,n-len(b)) or sys.exit(76)) for _ in iter(lambda:len(b)<n,False)];"
    "h.sha256(b).hexdigest()==sys.argv[2] or sys.exit(76);"
    "exec(zlib.decompress(bytes(b)))"
)

_DIGESTS = ("_sha2", "_sha256", "hashlib")

# The beginning of what is sent; FILES (by path) and RUN ("module:function") stand before it. `get_data` serves `pkgutil.get_data`.
_LOADER = '''
import importlib.machinery, sys

class Memory:
    """Finds and loads what was sent."""

    def find_spec(self, name, path=None, target=None):
        base = name.replace(".", "/")
        for place, package in ((base + "/__init__.py", True), (base + ".py", False)):
            if place in FILES:
                spec = importlib.machinery.ModuleSpec(name, self, origin=place, is_package=package)
                spec.has_location = True
                spec.cached = None
                return spec
        return None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        place = module.__spec__.origin
        exec(compile(FILES[place], place, "exec", dont_inherit=True), module.__dict__)

    def get_source(self, name):
        return FILES[self.find_spec(name).origin]

    def get_data(self, path):
        if path not in FILES:
            raise FileNotFoundError(path)
        return FILES[path].encode()

sys.dont_write_bytecode = True
sys.argv[1:] = ARGUMENTS
sys.meta_path.insert(0, Memory())
from vfdeck.backend.agent.old_python import fill_in
fill_in()
from importlib import import_module
module, _, function = RUN.partition(":")
sys.exit(getattr(import_module(module), function)())
'''


@dataclass(frozen=True, slots=True)
class Packed:
    """What is sent, compressed, and its digest (SHA-256, hexadecimal)."""

    data: bytes
    digest: str


_packing = threading.Lock()


def pack(run: str, arguments: tuple[str, ...] = (), extra: tuple[tuple[str, str], ...] = ()) -> Packed:
    """The program that calls `run` ("module:function") with `arguments` as its command line; the same bytes every time.

    `extra`: more sources, by path. Made once, which takes 0.1 s, however many hosts are connected at the same time.
    """
    with _packing:
        return _pack(run, arguments, extra)


@functools.lru_cache(maxsize=8)
def _pack(run: str, arguments: tuple[str, ...], extra: tuple[tuple[str, str], ...]) -> Packed:
    sources = {**_sources(), **dict(extra)}
    values = {"FILES": dict(sorted(sources.items())), "RUN": run, "ARGUMENTS": list(arguments)}
    text = "".join(f"{name} = {value!r}\n" for name, value in values.items()) + _LOADER
    data = zlib.compress(text.encode(), 9)
    return Packed(data, hashlib.sha256(data).hexdigest())


def boot(python: str, packed: Packed, marker: str) -> list[str]:
    """The command that runs it with a Python of this machine."""
    return [python, "-I", "-S", "-c", _BOOT, str(len(packed.data)), packed.digest, marker, *_DIGESTS]


def command(packed: Packed, marker: str, before: str = "") -> str:
    """The remote command line for any login shell. `marker`: letters and digits; `before`: a prefix such as `sudo -n `."""
    if not marker.isalnum():
        raise ValueError("a marker has letters and digits only")
    old = "import sys;sys.exit(sys.version_info<(3,9))"
    run = f'exec {before}"$p" -I -S -c "{_BOOT}" {len(packed.data)} {packed.digest} {marker} {" ".join(_DIGESTS)}'
    look = f'for p in {" ".join(PYTHONS)}; do [ -x "$p" ] && "$p" -I -S -c "{old}" </dev/null 2>/dev/null && {run}; done'
    return f"exec /bin/sh -c '{look}; echo {marker} {NO_PYTHON}; exit 127'"


@functools.cache
def _sources() -> dict[str, str]:
    root = files("vfdeck")
    found = {"vfdeck/__init__.py": root.joinpath("__init__.py").read_text(encoding="utf-8")}
    _collect(root.joinpath("backend"), "vfdeck/backend/", found)
    return found


def _collect(folder: Traversable, path: str, found: dict[str, str]) -> None:
    for entry in folder.iterdir():
        place = path + entry.name
        if entry.is_dir():
            _collect(entry, f"{place}/", found)
        elif place.startswith(_NOT_SENT) and place not in _SENT_OF_SIM:
            continue
        elif place.endswith((".py", ".varlink")):
            found[place] = entry.read_text(encoding="utf-8")
        elif place.endswith(".toml"):  # `tables.table` reads it so where the Python is too old to have tomllib
            found[f"{place[:-5]}.json"] = json.dumps(tomllib.loads(entry.read_text(encoding="utf-8")), ensure_ascii=False)
