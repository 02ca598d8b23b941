"""The string given to VFIO_GROUP_GET_DEVICE_FD: its bounds and the golden vectors, parsed by the kernel."""

from __future__ import annotations

from tests.contract.bed import IGB, IGB_VFS, PLAIN, U1, U2, Bed, answer
from tests.contract.ladder import ready_group
from vfdeck.backend.token_rules import PAGE_SIZE

VF, OTHER_VF = IGB_VFS[0], IGB_VFS[1]
U = str(U1)
LOWER_ONLY = U.replace("-", "")

NO_TOKEN = [VF, f"{VF} ", f"{VF}     "]
GOOD_TOKEN = [
    f"{VF} vf_token={U}",
    f"{VF}  vf_token={U}",
    f"{VF} vf_token={U} ",
    f"{VF} vf_token={U}    ",
    f"{VF}    vf_token={U}   ",
    f"{VF} vf_token={U.upper()}",
    f"{VF} vf_token={U[:18].upper()}{U[18:]}",
]
OTHER_TOKEN = [f"{VF} vf_token=00000000-0000-0000-0000-000000000000", f"{VF} vf_token={U2}", f"{VF} vf_token={U[:-1]}e"]
NO_MATCH = [
    OTHER_VF,
    f"{VF}1",
    f"{VF}x",
    VF[5:],
    VF[:-2],
    VF[:-1],
    VF[:-1] + "7",
    f" {VF}",
    f"{VF}\n",
    f"{VF}\t",
    f"{VF}\tvf_token={U}",
    f"{VF},vf_token={U}",
    f"{VF}vf_token={U}",
    f"vf_token={U} {VF}",
    "0000:01:11.0 vf_token=junk",
    f"{VF.replace('0000:', '0001:')} vf_token={U}",
    "",
    " ",
    "vf_token=",
    f"x{VF}",
    PLAIN,
]
MALFORMED = [
    f"{VF} vf_token={U}x",
    f"{VF} vf_token={U}\n",
    f"{VF} vf_token={U} \n",
    f"{VF} vf_token={U}\t",
    f"{VF} vf_token={U[:35]}",
    f"{VF} vf_token={U[:35]} ",
    f"{VF} vf_token={LOWER_ONLY}",
    f"{VF} vf_token={LOWER_ONLY}    ",
    f"{VF} vf_token={{{U}}}",
    f"{VF} vf_token=urn:uuid:{U}",
    f"{VF} vf_token={U[:10]}g{U[11:]}",
    f"{VF} vf_token={U.replace('-', '_')}",
    f"{VF} vf_token={U[:9]}{U[8:-1]}",
    f"{VF} vf_token= {U}",
    f"{VF} vf_token ={U}",
    f"{VF} VF_TOKEN={U}",
    f"{VF} vf_token=",
    f"{VF} vf_token",
    f"{VF} vf_token= ",
    f"{VF} foo=bar",
    f"{VF} foo",
    f"{VF} vf_token={U} foo=bar",
    f"{VF} foo=bar vf_token={U}",
    f"{VF} vf_token={U} vf_token={U}",
    f"{VF} vf_token={U}vf_token={U}",
    f"{VF} vf_token={U2} vf_token={U}",
    f"{VF} \tvf_token={U}",
    f"{VF} ,vf_token={U}",
    f"{VF} -",
]


def ask(bed: Bed, bdf: str, arguments: list[str]) -> dict[str, str]:
    """What the ready group of a function answers to each string."""
    opening, group = ready_group(bed, bdf)

    def one(text: str) -> None:
        opening.kernel.close(opening.kernel.get_device_fd(group, text.encode()))

    found = {text: answer(one, text) for text in arguments}
    opening.close()
    return found


def all_are(result: str, arguments: list[str]) -> dict[str, str]:
    return dict.fromkeys(arguments, result)


def guarded_vf(bed: Bed) -> None:
    """VFs of a PF whose token is U1, VF 0 held open."""
    bed.vfio_pf()
    program = bed.program("holder")
    program.close(program.open_by_group(IGB, f"{IGB} vf_token={U}".encode()))


def test_golden_vectors_on_a_vf(tokens: Bed) -> None:
    guarded_vf(tokens)
    assert ask(tokens, VF, GOOD_TOKEN[:1] + NO_TOKEN) == all_are("OK", GOOD_TOKEN[:1]) | all_are("EACCES", NO_TOKEN)
    assert ask(tokens, VF, GOOD_TOKEN) == all_are("OK", GOOD_TOKEN)
    assert ask(tokens, VF, OTHER_TOKEN) == all_are("EACCES", OTHER_TOKEN)
    assert ask(tokens, VF, NO_MATCH) == all_are("ENODEV", NO_MATCH)
    assert ask(tokens, VF, MALFORMED) == all_are("EINVAL", MALFORMED)


def test_golden_vectors_on_a_plain_function(bed: Bed) -> None:
    """Only the bare name opens it. Before 5.7 there were no options: whatever is not the name is another name."""
    assert bed.bind(PLAIN) == "OK"

    def of_plain(arguments: list[str]) -> list[str]:
        return [text.replace(VF, PLAIN) for text in arguments if VF in text and text != VF]

    bare, spaced = [PLAIN], of_plain(NO_TOKEN)
    with_token, malformed = of_plain(GOOD_TOKEN + OTHER_TOKEN), of_plain(MALFORMED)
    options = bed.has("vf_token")
    assert ask(bed, PLAIN, bare + spaced) == all_are("OK", bare) | all_are("OK" if options else "ENODEV", spaced)
    assert ask(bed, PLAIN, with_token + malformed) == all_are("EINVAL" if options else "ENODEV", with_token + malformed)
    no_match = [text.replace(VF, PLAIN) for text in NO_MATCH if text != PLAIN]
    assert ask(bed, PLAIN, no_match) == all_are("ENODEV", no_match)


def test_no_log_line_for_a_string_that_does_not_parse(tokens: Bed) -> None:
    guarded_vf(tokens)
    tokens.settle()
    tokens.take_log()
    ask(tokens, VF, NO_MATCH + MALFORMED)
    assert [line for line in tokens.take_log() if "oken" in line] == []


def test_bounds(bed: Bed) -> None:
    """With its NUL the string may have a page, not more. That comes before everything else."""
    assert bed.bind(PLAIN) == "OK"
    longest = PLAIN + " " * (PAGE_SIZE - 1 - len(PLAIN))
    answers = ask(bed, PLAIN, ["", longest, longest + " ", "x" * 4095, "x" * 4096])
    padded = "OK" if bed.has("vf_token") else "ENODEV"
    assert list(answers.values()) == ["ENODEV", padded, "EINVAL", "ENODEV", "EINVAL"]


def test_what_follows_a_nul_is_not_looked_at(bed: Bed) -> None:
    assert bed.bind(PLAIN) == "OK"
    texts = [f"{PLAIN}\0 vf_token=junk", f"{PLAIN}\0{'x' * 5000}", f"\0{PLAIN}"]
    assert list(ask(bed, PLAIN, texts).values()) == ["OK", "OK", "ENODEV"]


def test_an_argument_that_does_not_parse_sets_no_token(tokens: Bed) -> None:
    """A token is judged, and stored, only after the whole string has been read."""
    guarded_vf(tokens)
    pf_texts = [f"{IGB} vf_token={U2} foo=bar", f"{IGB} vf_token={U2}x", f"{IGB} vf_token={U2} vf_token={U2}"]
    assert ask(tokens, IGB, pf_texts) == all_are("EINVAL", pf_texts)
    assert ask(tokens, VF, [GOOD_TOKEN[0]]) == all_are("OK", [GOOD_TOKEN[0]])


def test_a_token_is_stored_in_text_order(cdevs: Bed) -> None:
    """BIND takes the bytes, the string the text: they are the same token."""
    if not cdevs.has("cdev_token_works"):
        return
    guarded_vf(cdevs)
    program = cdevs.program("binder")
    program.close(program.open_by_cdev(VF, U1.bytes))
    assert answer(program.open_by_cdev, VF, U1.bytes_le) == "EACCES bind_iommufd"
