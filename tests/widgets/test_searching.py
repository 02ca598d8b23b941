"""Searching, against looking at every row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests import values
from tests.widgets.test_rows import NAMES, hosts
from vfdeck.backend.model import Snapshot
from vfdeck.widgets.filtering import parse
from vfdeck.widgets.rows import FleetRows, Folds, RowId
from vfdeck.widgets.searching import Search
from vfdeck.widgets.state import index_of


@st.composite
def fleets(draw: st.DrawFn) -> tuple[Snapshot, ...]:
    """Some hosts."""
    return tuple(draw(hosts(name)) for name in NAMES[: draw(st.integers(1, 3))])


@given(fleets(), st.sampled_from(["driver:iavf", "vf 1", "beta", "held:yes", "nothing of the kind"]), st.data())
def test_the_next_match_is_the_next_row_that_matches(fleet: tuple[Snapshot, ...], text: str, data: st.DataObject) -> None:
    query = parse(text)
    rows, everything = FleetRows(fleet), FleetRows(fleet, Folds(runs_open=True))
    ids = [row.id for row in everything]
    start = data.draw(st.sampled_from(ids))
    step, here = data.draw(st.sampled_from([1, -1])), data.draw(st.booleans())
    matches = []
    for row_id in ids:
        function, snapshot = everything.function(row_id), everything.snapshot(row_id.host)
        if function is not None and snapshot is not None and query.test(function, index_of(snapshot)):
            matches.append(row_id)
    at = ids.index(start)
    ring = [*ids[at + 1 :], *ids[: at + 1]] if step > 0 else [*ids[:at][::-1], *ids[at:][::-1]]
    if here:
        ring = [start, *ring]
    expected = next((row_id for row_id in ring if row_id in matches), None)
    search = Search(query)
    found = [one for one in search.seek(rows, start, step, here=here) if one is not None]
    assert found == ([] if expected is None else [expected])
    assert search.count(rows) == len(matches)
    assert [search.number(rows, row_id) for row_id in matches] == list(range(1, len(matches) + 1))


def test_what_changed_is_looked_at_again() -> None:
    view = values.snapshot(*values.make_fleet(4))
    rows, search = FleetRows([view]), Search(parse("driver:iavf"))
    assert list(search.seek(rows, None, 1)) != []
    assert search.count(rows) == 0
    pf, *vfs = values.make_fleet(4, vf={"driver": "iavf"})
    after = FleetRows([values.snapshot(pf, *vfs)], previous=rows)
    assert search.count(after) is None
    assert RowId("demo", vfs[0].bdf) in list(search.seek(after, None, 1))
    assert search.count(after) == 4


def test_it_can_be_interrupted() -> None:
    rows = FleetRows([values.snapshot(*values.make_fleet(2000, totalvfs=2000))])
    steps = list(Search(parse("no such thing")).seek(rows, None, 1))
    assert len(steps) >= 5
