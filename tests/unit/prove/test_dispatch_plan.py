"""What `make prove-dispatch` orders: of every target, each form of command, each record once."""

from __future__ import annotations

import json
from collections import Counter

from connectors.systems import Systems
from tests.prove.dispatch_plan import (
    about,
    chains_of,
    makers,
    rehearsal,
    samples,
    subjects,
    target_class,
)


def test_every_system_with_a_sink_is_proven_at_its_simulated_target() -> None:
    systems = Systems()
    with_sink = [name for name in systems.names() if systems.vendor(name).sink is not None]
    found = subjects()
    assert [subject.system for subject in found] == with_sink
    for subject in found:
        target = target_class(subject)
        assert any(target.tables.values()) is (target.given is None), subject.system


def test_commands_about_what_people_have_made_say_so_and_keep_their_names() -> None:
    crm = [subject for subject in subjects() if target_class(subject).given is not None]
    for chain in chains_of(crm, 20, seed=1):
        found = about(chain, "d-7")
        assert [step.command_id for step in found] == [step.command_id for step in chain]
        for before, after in zip(chain, found, strict=True):
            said = json.loads(before.record["payload"]) | {"deal_id": "d-7"}
            assert (json.loads(after.record["payload"]), after.identity) == (said, "d-7")


def test_as_many_commands_as_asked_for_are_shared_evenly_by_the_targets() -> None:
    found = subjects()
    chains = chains_of(found, 201, seed=1)
    shares = Counter(step.target for chain in chains for step in chain)
    assert sum(shares.values()) == 201
    assert max(shares.values()) - min(shares.values()) <= 1
    assert shares.keys() == {subject.system for subject in found}


def test_each_chain_is_about_a_record_that_no_other_one_is_about() -> None:
    found = subjects()
    chains = [*chains_of(found, 200, seed=1), *rehearsal(found), *samples(found)]
    records = [{(step.target, step.identity) for step in chain} for chain in chains]
    assert all(len(each) == 1 for each in records)
    assert len(set.union(*records)) == len(chains)
    assert chains_of(found, 200, seed=1) != chains_of(found, 200, seed=2)


def test_a_command_names_its_record_as_its_sample_does() -> None:
    for subject in subjects():
        for order, chain in zip(makers(subject), rehearsal([subject]), strict=True):
            mine = order.key.split(":", 2)[2]
            said = json.loads(chain[0].record["payload"]).values()
            assert (mine in said, chain[0].identity in said) == (False, True)
            assert chain[0].record["natural_key"] == order.key.replace(mine, chain[0].identity)


def test_every_form_that_is_ordered_is_rehearsed() -> None:
    found = subjects()
    rehearsed = {(step.target, step.form) for chain in rehearsal(found) for step in chain}
    ordered = {(step.target, step.form) for chain in chains_of(found, 2_000, 1) for step in chain}
    assert ordered == rehearsed
