"""An agent over the system's ssh, at an sshd on loopback with keys and a configuration of its own; skipped where there is none."""

from __future__ import annotations

import dataclasses
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent.test_client import ssh
from tests.fabricate import Fake, build, with_vfs
from vfdeck.app.cli import main
from vfdeck.backend.agent.remote_host import RemoteHost
from vfdeck.backend.agent.transports import Ssh
from vfdeck.backend.changes import SetAutoprobe
from vfdeck.backend.linux.kernel import LinuxKernel
from vfdeck.backend.local_host import LocalHost

PF = "0000:03:00.0"
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    pf = Fake(PF, driver="vfio-pci", group=10, totalvfs=8)
    return build(tmp_path / "tree", [with_vfs(pf, 4, driver="vfio-pci", group=11)])


def key(path: Path) -> str:
    """Make a pair of keys; the public one."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path.with_suffix(".pub").read_text()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[str]:
    """An ssh that knows the server as `hv-1`; the server runs meanwhile."""
    if SSHD is None or shutil.which("ssh-keygen") is None:
        pytest.skip("no sshd here")
    (tmp_path / "authorized").write_text(key(tmp_path / "mine"))
    host_key = key(tmp_path / "host")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "known").write_text(f"[127.0.0.1]:{port} {host_key}")
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
    )
    (tmp_path / "ssh_config").write_text(
        f"Host hv-1\n HostName 127.0.0.1\n Port {port}\n User {getpass.getuser()}\n IdentityFile {tmp_path}/mine\n"
        f" IdentitiesOnly yes\n UserKnownHostsFile {tmp_path}/known\n StrictHostKeyChecking yes\n"
    )
    with subprocess.Popen([SSHD, "-D", "-e", "-f", str(tmp_path / "sshd_config")], stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        said = server.stderr.readline()
        if "listening" not in said:
            server.kill()
            pytest.skip(f"sshd does not start here: {said.strip()}")
        try:
            yield ssh(tmp_path, f'exec {shutil.which("ssh")} -F {tmp_path}/ssh_config "$@"')
        finally:
            server.terminate()


def test_a_host_by_ssh(client: str, tree: Path) -> None:
    host, here = RemoteHost("hv-1", Ssh("hv-1", program=client), str(tree)), LocalHost(LinuxKernel(str(tree)))
    seen, expected = host.snapshot(), here.snapshot()
    assert seen == dataclasses.replace(expected, taken=seen.taken, host=dataclasses.replace(expected.host, name="hv-1"))
    assert host.perform(SetAutoprobe(PF, False)).ok
    assert host.snapshot().functions == here.snapshot().functions
    host.close()


def test_another_key_of_the_host_is_final(client: str, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(f"{known.read_text().split()[0]} {key(tmp_path / 'other')}")
    host = RemoteHost("hv-1", Ssh("hv-1", program=client))
    assert "the host's key is not the one that is known" in host.snapshot().problems[0].what
    assert host._final
    host.close()


def test_a_login_that_is_refused_is_final(client: str, tmp_path: Path) -> None:
    (tmp_path / "authorized").write_text("")
    host = RemoteHost("hv-1", Ssh("hv-1", program=client))
    assert "the login was refused" in host.snapshot().problems[0].what
    assert host._final
    host.close()


def test_the_command_line(
    client: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert Path(client) == tmp_path / "ssh"
    assert main(["tree", "--root", str(tree)]) == 0
    here = capsys.readouterr().out.splitlines()
    assert main(["--host", "hv-1", "tree", "--root", str(tree)]) == 0
    there = capsys.readouterr().out.splitlines()
    assert there[0].startswith("hv-1  ")
    assert there[1:] == here[1:]
    assert main(["check", PF, "4", "--host", "hv-1", "--root", str(tree)]) == 0
    assert main(["token", "status", "--host", "hv-1", "--root", str(tree)]) == 1
    capsys.readouterr()
    (tmp_path / "authorized").write_text("")
    assert main(["tree", "--host", "hv-1"]) == 69
    assert "hv-1: not reached: the login was refused" in capsys.readouterr().err
