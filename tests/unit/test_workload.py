"""What a program's command line and control groups tell, and that no token is in what comes of them."""

from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfdeck.backend.token import Token
from vfdeck.backend.workload import container_name, process, redacted, tokens_in, vm_name

TEXT = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
SHOWN = f"#{Token.parse(TEXT).fingerprint}"
LONG = "4f1c2d3e5a6b7081" * 4
POD = "1b2c3d4e-0000-4111-8222-333344445555"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            f"qemu -device vfio-pci,host=0000:03:02.0,vf-token={TEXT},id=x",
            f"qemu -device vfio-pci,host=0000:03:02.0,vf-token={SHOWN},id=x",
        ),
        (f'-device {{"driver":"vfio-pci","vf-token":"{TEXT}"}}', f'-device {{"driver":"vfio-pci","vf-token":"{SHOWN}"}}'),
        (f'-device {{"vf-token" : "{TEXT.upper()}"}}', f'-device {{"vf-token" : "{SHOWN}"}}'),
        (f"testpmd --vfio-vf-token={TEXT} -- -i", f"testpmd --vfio-vf-token={SHOWN} -- -i"),
        (f"testpmd --vfio-vf-token {TEXT} -- -i", f"testpmd --vfio-vf-token {SHOWN} -- -i"),
        (f"env VFTOKEN={TEXT.replace('-', '')} x", f"env VFTOKEN={SHOWN} x"),
        (f"x --vf-token={{{TEXT}}}", f"x --vf-token={{{SHOWN}}}"),
        (f"x vf_token=urn:uuid:{TEXT}", f"x vf_token=urn:uuid:{SHOWN}"),
        (f"x vf-token='{TEXT}'", f"x vf-token='{SHOWN}'"),
        ("x vf-token=0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f", "x vf-token=(hidden)"),
        ("x vf-token=0a1b2c3d4e5f-6071-8293-a4b5c6d7e8f9", "x vf-token=(hidden)"),
        (f'a5="--vfio-vf-token" a6="{TEXT}" a7="--"', f'a5="--vfio-vf-token" a6="{SHOWN}" a7="--"'),
        (f'a5="--vfio-vf-token" a6="{TEXT[:20]}', 'a5="--vfio-vf-token" a6="(hidden)'),
        (f'a5="--vfio-vf-token" a6[1]={TEXT[:20]}', 'a5="--vfio-vf-token" a6[1]=(hidden)'),
        (f"qemu -uuid {TEXT} -name x", f"qemu -uuid {TEXT} -name x"),
        ("x --token-file /run/token", "x --token-file /run/token"),
    ],
)
def test_tokens_become_fingerprints(line: str, shown: str) -> None:
    assert redacted(line) == shown


@given(
    st.uuids(),
    st.sampled_from(["vf-token=", "--vfio-vf-token=", "--vfio-vf-token ", "VFTOKEN=", '"vf-token": "', "vf_token:"]),
    st.booleans(),
    st.booleans(),
    st.text(max_size=20),
    st.text(max_size=20),
)
def test_no_token_gets_through(token: uuid.UUID, key: str, upper: bool, plain: bool, before: str, after: str) -> None:
    text = token.hex if plain else str(token)
    text = text.upper() if upper else text
    value = process(1, "x", arguments=[before, key + text, after])
    assert token.hex not in value.command.lower().replace("-", "")
    assert text not in redacted(f"{before} {key}{text} {after}")


@pytest.mark.parametrize("site", ["vfio_pci_validate_vf_token", "vfio_pci_core_match_token_uuid"])
def test_the_kernels_own_words_are_no_values(site: str) -> None:
    line = f"{site}: 3 callbacks suppressed"
    assert redacted(line) == line


def test_tokens_of_a_line() -> None:
    assert list(tokens_in(f"-device vf-token={TEXT} -device x,vf-token={uuid.UUID(int=1)} -uuid {uuid.UUID(int=2)}")) == [
        Token.parse(TEXT),
        Token(uuid.UUID(int=1).bytes),
    ]
    assert list(tokens_in("vf-token=0a1b2c3d4e5f-6071-8293-a4b5c6d7e8f9")) == []


def test_what_a_program_carries() -> None:
    """Of its arguments, and of each variable by itself; of UUIDs that are no tokens nothing."""
    first, second = uuid.UUID(int=1), uuid.UUID(int=2)
    variables = [f"VFTOKEN={first}", "A=vf-token", f"B={uuid.UUID(int=3)}"]
    value = process(1, "x", arguments=["x", "--vfio-vf-token", str(second), "-uuid", TEXT], variables=variables)
    assert value.tokens == tuple(sorted(Token(one.bytes).fingerprint for one in (first, second)))
    assert process(1, "x", arguments=[f"--vfio-vf-token=#{Token(first.bytes).fingerprint}"]).tokens == ()


SPELLINGS = [
    "vf-token={}", "--vfio-vf-token {}", "VFTOKEN={}", "export VF_TOKEN_A='{}'", '{{"vf-token" : "{}"}}', "vf_token=urn:uuid:{}",
    "vf-token => {}", "vf-token%3D{}", "vf-token=%22{}%22", "vf-token=,{}", "vf-token={{{}}}", "vf.token: {}",
    "vf-token-{}", "vftoken{}",
    "set-vf-token 0000:03:00.0 {}", "vf-token pf=0000:03:00.0,value={}", '{{"vf_token": {{"value": "{}"}}}}', "vf_tokens: [{}]",
    "vf-token\t\t=          {}", "vfio_token={}", "vf-token=\\\"{}\\\"", "--vf-token= {}",
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_is_hidden_of_a_vf_token_is_found_too(spelling: str) -> None:
    for line in (spelling.format(TEXT), f"run -d x {spelling.format(TEXT.upper())} -uuid {POD}"):
        assert [token.fingerprint for token in tokens_in(line)] == [SHOWN[1:]]
        assert TEXT not in redacted(line).lower()


@pytest.mark.parametrize(
    "line",
    [
        f"qemu -device vf-token={TEXT} -uuid {POD}",
        f"qemu -device vf-token={TEXT},id={POD}",
        f"qemu -device vf-token={TEXT} -drive file=/img/{POD}.qcow2",
        f"x vf-token={TEXT} CI_JOB_TOKEN={POD}",
        f"x vf-token={TEXT} /img/{POD}",
        f"x uuid={POD} vf-token={TEXT}",
        f'{{"vf-token": "{TEXT}", "id": "{POD}"}}',
    ],
)
def test_other_uuids_beside_a_token_are_none(line: str) -> None:
    assert [token.fingerprint for token in tokens_in(line)] == [SHOWN[1:]]


@pytest.mark.parametrize(
    "line", [f"x --vf-token-file /run/{TEXT}", f"x --token {TEXT}", TEXT, f"vf-token-dir=/x/{TEXT}", f"vf {TEXT}"]
)
def test_no_tokens_of_vfs(line: str) -> None:
    assert list(tokens_in(line)) == []


@given(
    st.lists(st.sampled_from([*SPELLINGS, "-x", "{}", "id={}", "/a/{}", "token", "vf", " ", ",", "%3D"]), max_size=8),
    st.text(max_size=5),
)
def test_whatever_is_found_is_hidden(parts: list[str], more: str) -> None:
    line = " ".join(part.format(TEXT) for part in parts) + more
    assert list(tokens_in(redacted(line))) == []


@pytest.mark.parametrize(
    "line",
    [
        *("token" * 30_000, "a" * 200_000, "token=" * 20_000, "vf-token " * 20_000, "0" * 200_000, "vf-token=" + "0" * 200_000),
        *("vftoken" + " " * 200_000, "vf-token" + ("g" * 35 + "-") * 5_000),
    ],
)
def test_no_line_takes_long(line: str) -> None:
    begin = time.process_time()
    assert list(tokens_in(line)) == []
    process(1, "x", arguments=[line], cgroup=line)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("arguments", "cgroup", "name"),
    [
        (["/usr/bin/qemu-system-x86_64", "-name", "guest=web-1,debug-threads=on"], "", "web-1"),
        (["qemu-kvm", "-name", "debug-threads=on,guest=a,,b"], "", "a,b"),
        (["/usr/bin/kvm", "-id", "100", "-name", "db,process=x"], "0::/qemu.slice/100.scope", "db"),
        (["/usr/bin/kvm", "-name", "debug-threads=on"], "", ""),
        (["qemu-system-x86_64", "-name"], "", ""),
        (["qemu-system-x86_64"], r"0::/machine.slice/machine-qemu\x2d3\x2dweb\x2d1.scope/libvirt/emulator", "web-1"),
        (["dpdk-testpmd", "-name", "x"], "0::/system.slice/x.service", ""),
        ([], "", ""),
    ],
)
def test_virtual_machines(arguments: list[str], cgroup: str, name: str) -> None:
    assert vm_name(arguments, cgroup) == name


@pytest.mark.parametrize(
    ("cgroup", "name"),
    [
        (f"0::/system.slice/docker-{LONG}.scope\n", f"docker {LONG[:12]}"),
        (f"12:pids:/docker/{LONG}\n11:cpu:/docker/{LONG}\n", f"docker {LONG[:12]}"),
        (f"0::/machine.slice/libpod-{LONG}.scope/container\n", f"podman {LONG[:12]}"),
        (f"0::/user.slice/libpod-conmon-{LONG}.scope\n", ""),
        (
            f"0::/system.slice/containerd.service/kubepods-besteffort-pod{POD.replace('-', '_')}.slice:cri-containerd:{LONG}\n",
            f"pod {POD}, containerd {LONG[:12]}",
        ),
        (
            f"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{POD.replace('-', '_')}.slice"
            f"/cri-containerd-{LONG}.scope\n",
            f"pod {POD}, containerd {LONG[:12]}",
        ),
        (f"0::/kubepods.slice/kubepods-pod{POD.replace('-', '_')}.slice/crio-{LONG}.scope\n", f"pod {POD}, cri-o {LONG[:12]}"),
        (f"5:devices:/kubepods/burstable/pod{POD}/{LONG}\n", f"pod {POD}, container {LONG[:12]}"),
        ("0::/lxc.payload.web/system.slice/x.service\n", "lxc web"),
        ("0::/lxc/web\n", "lxc web"),
        ("0::/machine.slice/systemd-nspawn@build.service/payload\n", "nspawn build"),
        ("0::/user.slice/user-0.slice/session-3.scope\n", ""),
        ("", ""),
    ],
)
def test_containers(cgroup: str, name: str) -> None:
    assert container_name(cgroup) == name


def test_everything_foreign_is_made_printable() -> None:
    value = process(7, "a\x1b[2J", "root\n", 1.0, ["qemu", "-name", "guest=\x1b]0;x\x07", "\udcff"], "0::/lxc/a\x1bb\n")
    assert (value.name, value.user, value.vm, value.container) == ("a␛[2J", "root", "␛]0;x␇", "lxc a␛b")
    assert value.command == "qemu -name guest=␛]0;x␇ \\u{dcff}".replace("\\u{dcff}", "\\xff")


@pytest.mark.parametrize(
    "line",
    [
        'sh -c {\\"driver\\":\\"vfio-pci\\",\\"vf-token\\":\\"%s\\"}',
        "vf_token=\\'%s",
        "vf-token=00000000-0000-0000-0000-000000000000,%s",
        "VFTOKEN+=(%s)",
        "vf-token%%3D%s",
        "VF_TOKEN_FOR_PF0000_03_00_0=%s",
        "vf_token -> %s",
    ],
)
def test_a_token_that_is_hard_to_see(line: str) -> None:
    text = "bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3"
    told = process(1, f"testpmd --vf-token={text}", arguments=(line % text).split(" "))
    assert text not in told.command
    assert text not in told.name
    assert "#" in told.command
