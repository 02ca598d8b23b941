"""The host's own log: what reaches journald and syslog, and that nobody waits for either."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.values import TOKEN
from vfdeck.backend.audit import BEGUN_ID, OVER_ID, AuditTrail
from vfdeck.backend.changes import OPERATION, Open, Outcome, SetNumvfs, SetToken
from vfdeck.backend.kernel import Stage
from vfdeck.backend.system_log import SystemLog, _native

PF = "0000:03:00.0"


def parsed(data: bytes) -> dict[str, str]:
    """The fields of a message as journald reads them (JOURNAL_NATIVE_PROTOCOL)."""
    found: dict[str, str] = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(data[:8], "little")
            value, end, data = data[8 : 8 + length], data[8 + length : 9 + length], data[9 + length :]
            assert end == b"\n"
        found[name.decode()] = value.decode()
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "journal"))
        listening.setblocking(False)
        yield listening


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z][A-Z_]{0,20}", fullmatch=True), st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
    )
)
def test_no_value_can_pose_as_a_field(fields: dict[str, str]) -> None:
    assert parsed(_native(fields)) == fields


def test_a_change_is_told_before_and_after(journal: socket.socket, tmp_path: Path) -> None:
    log = SystemLog(str(tmp_path / "journal"), str(tmp_path / "none"))
    states = iter(({"driver": "ice", "numvfs": 0}, {"driver": "ice", "numvfs": 8}))
    trail = AuditTrail(None, {"user": "eva", "login_uid": 1000, "peer_pid": 77}, log, lambda bdf: next(states))
    OPERATION.set("k-1")
    with trail.record(SetNumvfs(PF, 8)) as record:
        record.outcome = Outcome(SetNumvfs(PF, 8))
    OPERATION.set("")
    before, after = (parsed(journal.recv(65536)) for _ in range(2))
    assert before["MESSAGE"] == f"SetNumvfs {PF} by eva: begun"
    assert after["MESSAGE"] == f"SetNumvfs {PF} by eva: done"
    assert (before["MESSAGE_ID"], after["MESSAGE_ID"]) == (BEGUN_ID, OVER_ID)
    assert after["VFDECK_BEFORE"] == '{"driver": "ice", "numvfs": 0}'
    assert after["VFDECK_AFTER"] == '{"driver": "ice", "numvfs": 8}'
    assert (after["VFDECK_KEY"], after["OBJECT_PID"], after["SYSLOG_IDENTIFIER"]) == ("k-1", "77", "vfdeck")
    assert "ERRNO" not in after


@pytest.mark.parametrize("change", [SetToken(PF, TOKEN), Open(PF, TOKEN)])
def test_a_refusal_has_its_number_and_a_token_only_its_fingerprint(
    journal: socket.socket, tmp_path: Path, change: SetToken | Open
) -> None:
    trail = AuditTrail(None, {"user": "eva"}, SystemLog(str(tmp_path / "journal")))
    with trail.record(change) as record:
        record.outcome = Outcome(change, errno.EACCES, Stage.GET_DEVICE_FD, PF)
    told = [journal.recv(65536) for _ in range(2)]
    secret = TOKEN.reveal_text()
    assert not any(form.encode() in one.lower() for one in told for form in (secret, secret.replace("-", "")))
    over = parsed(told[1])
    assert (over["ERRNO"], over["VFDECK_STAGE"], over["VFDECK_TOKEN"]) == ("13", "get_device_fd", f"#{TOKEN.fingerprint}")


def test_a_fault_of_ours_is_told(journal: socket.socket, tmp_path: Path) -> None:
    trail = AuditTrail(None, {"user": "eva"}, SystemLog(str(tmp_path / "journal")))
    with pytest.raises(ZeroDivisionError), trail.record(SetNumvfs(PF, 8)):
        raise ZeroDivisionError
    journal.recv(65536)
    assert parsed(journal.recv(65536))["VFDECK_RESULT"] == "ZeroDivisionError"


def test_without_journald_syslog_gets_the_message(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "log"))
        assert SystemLog(str(tmp_path / "none"), str(tmp_path / "log")).send("a\nchange", {"X": 1}) == ""
        line = listening.recv(4096).decode()
    assert line.startswith("<85>vfdeck[")
    assert line.endswith("]: a\nchange")


def test_nobody_waits_for_a_log_that_is_full(journal: socket.socket, tmp_path: Path) -> None:
    log = SystemLog(str(tmp_path / "journal"), str(tmp_path / "none"))
    answers = {log.send("x" * 2000, {}) for _ in range(3000)}
    assert answers == {"", "neither journald (Resource temporarily unavailable) nor syslog takes it"}
