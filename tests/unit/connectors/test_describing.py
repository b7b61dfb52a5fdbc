"""What an API describes is looked at now and then, and no poll notices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import cast

import pytest
import structlog

from connectors.polled import instruments
from connectors.polled.describing import Looks
from connectors.polled.fingerprint import ACCEPTED, DESCRIBED, DriftKind, Fingerprint
from connectors.polled.order_log import Told, told_by
from connectors.toolkit.faults import QuotaExhaustedError, VendorRejectedError
from connectors.toolkit.metadata import Described, Kind
from schemas.errors import BrokerUnavailableError
from tests.support.catalogue import FIRM
from tests.support.jumping_clock import run_jumping
from tests.support.polled import make_config

AT = datetime(2026, 11, 29, 9, tzinfo=UTC)
NAME = Described("string", Kind.TEXT, label="Account Name")
STAGES = Described("picklist", Kind.TEXT, frozenset({"Prospecting"}), "Stage")
OBJECTS = ("account", "opportunity")
Answer = Mapping[str, Described | None] | Exception | None


class Shelf:
    """What is kept, in memory, and at first not where it fails or there is no topic."""

    def __init__(
        self, *, failures: int = 0, is_there: bool = True, unreadable: str | None = None
    ) -> None:
        self.kept: dict[str, Fingerprint] = {}
        self.written: list[str] = []
        self._failures = failures
        self._is_there = is_there
        self._unreadable = [] if unreadable is None else [(unreadable.encode(), b"{")]

    async def told(self) -> Told | None:
        kept = [(key.encode(), each.to_bytes()) for key, each in self.kept.items()]
        return told_by([*kept, *self._unreadable]) if self._is_there else None

    async def keep(self, of: str, fingerprint: Fingerprint) -> None:
        if self._failures:
            self._failures -= 1
            raise BrokerUnavailableError("no broker")
        self.kept[fingerprint.key(of)] = fingerprint
        self.written.append(fingerprint.key(of))


class Api:
    """Describes as its script says, its last line again and again."""

    def __init__(self, **scripts: list[Answer]) -> None:
        self._scripts = scripts
        self.asked: list[tuple[float, str]] = []

    async def describe(self, obj: str) -> Mapping[str, Described | None] | None:
        self.asked.append((round(asyncio.get_running_loop().time() - self.began), obj))
        script = self._scripts.get(obj, [{}])
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    began = 0.0


class Ticks:
    """A clock that is a second later each time."""

    def __init__(self) -> None:
        self._seconds = iter(range(60))

    def __call__(self) -> datetime:
        return AT.replace(second=next(self._seconds))


def looks(api: Api, shelf: Shelf, paused: str = "") -> Looks:
    config = make_config(
        **{"object.include.list": ",".join(OBJECTS), "description.interval.ms": 1_000_000}
    )
    system = FIRM.bundles["salesforce"]
    return Looks(config, system, api, shelf, clock=Ticks(), is_paused=lambda obj: obj == paused)


def after(api: Api, shelf: Shelf, rounds: int, paused: str = "") -> list[Mapping[str, object]]:
    """Look some times; return what was logged."""

    async def run() -> None:
        it = looks(api, shelf, paused)
        for _ in range(rounds):
            await it.look()

    with structlog.testing.capture_logs() as lines:
        asyncio.run(run())
    return cast(list[Mapping[str, object]], lines)


def gauged(obj: str = "opportunity") -> dict[str, float]:
    system = FIRM.bundles["salesforce"].name
    values = {
        kind.value: instruments.DRIFT.labels(system, obj, kind.value)._value.get()
        for kind in DriftKind
    }
    return {kind: value for kind, value in values.items() if value}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    instruments.DRIFT.clear()
    yield
    instruments.DRIFT.clear()


def test_the_first_look_comes_a_while_after_the_start_and_then_one_each_interval() -> None:
    api = Api()

    async def run() -> None:
        api.began = asyncio.get_running_loop().time()
        running = asyncio.create_task(looks(api, Shelf()).run())
        await asyncio.sleep(2_200)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_jumping(run())
    assert api.asked == [(at, obj) for at in (100, 1_100, 2_100) for obj in OBJECTS]


def test_what_is_described_first_is_accepted_and_written_once() -> None:
    shelf = Shelf()
    lines = after(Api(opportunity=[{"StageName": STAGES}]), shelf, 3)
    assert shelf.written == [f"{ACCEPTED}|salesforce|{obj}" for obj in OBJECTS]
    assert shelf.kept["accepted|salesforce|opportunity"].fields == {"StageName": STAGES}
    assert [each["event"] for each in lines] == ["poll.description_accepted"] * 2
    assert gauged() == {}


def test_a_difference_is_counted_logged_once_and_kept_for_people_to_see() -> None:
    shelf = Shelf()
    api = Api(opportunity=[{"StageName": STAGES}, {"Name": NAME}])
    lines = after(api, shelf, 3)
    (told,) = (each for each in lines if each["event"] == "poll.described_otherwise")
    assert told["differences"] == [
        "new_field: Name is new (string)",
        "vanished: StageName is gone, or hidden from our user",
    ]
    assert gauged() == {"vanished": 1, "new_field": 1}
    assert shelf.written[2:] == [f"{DESCRIBED}|salesforce|opportunity"]
    assert shelf.kept["described|salesforce|opportunity"].fields == {"Name": NAME}


def test_what_people_accept_differs_no_more_and_what_comes_back_does() -> None:
    shelf = Shelf()
    api = Api(opportunity=[{"StageName": STAGES}, {"Name": NAME}])

    async def run() -> None:
        it = looks(api, shelf)
        await it.look()
        await it.look()
        new = shelf.kept["described|salesforce|opportunity"]
        late = AT.replace(minute=1)
        await shelf.keep(
            ACCEPTED, Fingerprint("salesforce", "opportunity", late, "ada@desk", None, new.fields)
        )
        await it.look()

    asyncio.run(run())
    assert gauged() == {}
    assert shelf.written[-1] == f"{ACCEPTED}|salesforce|opportunity"


def test_what_is_as_accepted_again_is_kept_as_that() -> None:
    shelf = Shelf()
    was, other = {"StageName": STAGES}, {"Name": NAME}
    after(Api(opportunity=[was, other, was]), shelf, 4)
    assert shelf.kept["described|salesforce|opportunity"].fields == was
    assert shelf.written.count(f"{DESCRIBED}|salesforce|opportunity") == 2
    assert gauged() == {}


def test_a_vendor_that_is_away_or_has_no_allowance_left_is_asked_at_the_next_look() -> None:
    shelf, api = Shelf(), Api(account=[QuotaExhaustedError("used up"), {"Name": NAME}])
    lines = after(api, shelf, 2)
    assert [obj for _, obj in api.asked] == ["account", *OBJECTS]
    assert [(each["event"], each.get("code")) for each in lines][:1] == [
        ("poll.description_failed", QuotaExhaustedError.code)
    ]
    assert shelf.written == [f"{ACCEPTED}|salesforce|{obj}" for obj in OBJECTS]


@pytest.mark.parametrize(
    "error", [VendorRejectedError(404, (), context={}), RuntimeError("a defect")]
)
def test_an_object_that_is_refused_holds_up_no_other(error: Exception) -> None:
    shelf = Shelf()
    lines = after(Api(account=[error]), shelf, 1)
    assert lines[0]["event"] == "poll.description_failed"
    assert shelf.written == [f"{ACCEPTED}|salesforce|opportunity"]


def test_what_people_accepted_is_not_overwritten_where_it_cannot_be_read() -> None:
    shelf = Shelf(unreadable=f"{ACCEPTED}|salesforce|account")
    lines = after(Api(account=[{"Name": NAME}]), shelf, 2)
    assert shelf.written == [f"{ACCEPTED}|salesforce|opportunity"]
    failed = [each for each in lines if each["event"] == "poll.description_failed"]
    assert [each["object"] for each in failed] == ["account"] * 2
    assert "--accept" in str(failed[0]["error"])


def test_a_broker_that_is_away_is_asked_at_the_next_look() -> None:
    shelf = Shelf(failures=1)
    after(Api(), shelf, 2)
    assert shelf.written == [f"{ACCEPTED}|salesforce|{obj}" for obj in OBJECTS]


def test_an_object_that_is_paused_is_asked_nothing() -> None:
    api = Api()
    after(api, Shelf(), 1, paused="account")
    assert [obj for _, obj in api.asked] == ["opportunity"]


def test_of_an_object_that_its_api_does_not_describe_nothing_is_kept() -> None:
    shelf = Shelf()
    after(Api(account=[None]), shelf, 1)
    assert shelf.written == [f"{ACCEPTED}|salesforce|opportunity"]


def test_without_the_topic_nothing_is_asked() -> None:
    api = Api()
    assert after(api, Shelf(is_there=False), 1) == []
    assert api.asked == []
