"""What the back-fill benchmark serves, and what it says of whom."""

import gzip
import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bench.backfill import OURS, Result, spent, table, verdict
from bench.backfill_vendor import ADDRESS, FIELDS, PAGE, Kind, RefusedError, Server, row_id
from bench.backfill_vendor import Org as Rows
from bench.peers.salesforce import SOQL, Airbyte, Dlt, Org, TapSalesforce
from tests.support.catalogue import contract_of

RECORDS = 25
PAGE_OF_TEN = 10


@pytest.fixture
def org(tmp_path: Path) -> Iterator[Org]:
    """An org of few rows, served."""
    with Server(Rows(RECORDS, PAGE_OF_TEN), 0, tmp_path) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Org(server.url, tmp_path)
        server.shutdown()
        thread.join()


def page(url: str) -> Any:
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Sforce-Limit-Info"].startswith("api-usage=")
        return json.loads(gzip.decompress(answer.read()))


def test_its_columns_are_those_of_the_contract() -> None:
    fields: Any = contract_of("salesforce", "account").parsed["fields"]
    assert list(FIELDS) == [field["name"] for field in fields]


@pytest.mark.parametrize("has_address", [False, True])
def test_who_follows_locators_sees_each_row_once(org: Org, has_address: bool) -> None:
    soql = SOQL.replace("Id,", f"{ADDRESS}, Id,", 1) if has_address else SOQL
    asked = urllib.request.quote(soql)
    answer = page(f"{org.url}/services/data/v61.0/queryAll?q={asked}")
    rows = answer["records"]
    while not answer["done"]:
        answer = page(org.url + answer["nextRecordsUrl"])
        rows += answer["records"]
    assert [row["Id"] for row in rows] == [row_id(number) for number in range(RECORDS)]
    assert {ADDRESS in row for row in rows} == {has_address}
    assert "v61.0" in rows[0]["attributes"]["url"]
    assert spent(org) == 3
    assert spent(org) == 0


def test_who_pages_by_key_sees_each_row_once_and_then_no_change() -> None:
    rows, found, where = Rows(RECORDS, PAGE_OF_TEN), [], ""
    columns = f"SELECT {', '.join(FIELDS)} FROM Account"
    end = f"ORDER BY SystemModstamp ASC, Id ASC LIMIT {PAGE_OF_TEN}"
    while True:
        answer = json.loads(gzip.decompress(rows.query("62.0", f"{columns} {where}{end}")))
        assert answer["done"] is True
        found += [row["Id"] for row in answer["records"]]
        if len(answer["records"]) < PAGE_OF_TEN:
            break
        last = answer["records"][-1]
        stamp = last["SystemModstamp"]
        where = f"WHERE (SystemModstamp > {stamp} OR (SystemModstamp = {stamp} AND "
        where += f"Id > '{last['Id']}')) "
    assert found == [row_id(number) for number in range(RECORDS)]
    again = rows.query("62.0", f"{columns} WHERE SystemModstamp >= 2026-11-01T00:00:00Z {end}")
    assert json.loads(gzip.decompress(again))["records"] == []


@pytest.mark.parametrize(
    "soql",
    [
        SOQL.replace("Name, ", ""),
        SOQL.replace("Id,", "Id, Phone,", 1),
        f"{SOQL} LIMIT 7",
        SOQL.replace("Account", "Contact"),
    ],
)
def test_who_asks_for_something_else_than_the_others_is_refused(soql: str) -> None:
    with pytest.raises(RefusedError):
        Rows(RECORDS, PAGE_OF_TEN).query("62.0", soql)


def test_pages_that_are_made_before_are_the_ones_that_are_asked_for() -> None:
    rows = Rows(RECORDS, PAGE_OF_TEN)
    rows.prepare()
    made = dict(rows._pages)
    for version, has_address in (("61.0", False), ("62.0", False), ("62.0", True)):
        for start in (0, 10, 20):
            rows.page(Kind(version, has_address, has_locators=True), start)
    rows.query("62.0", f"{SOQL} LIMIT {PAGE_OF_TEN}")
    assert rows._pages == made
    assert PAGE == 2_000


@pytest.mark.parametrize(
    ("reader", "line"),
    [
        (TapSalesforce(), '{"type": "RECORD", "record": {"Id": "a"}}\n{"type": "STATE"}\n'),
        (Airbyte(), '{"type":"RECORD","record":{"data":{"Id":"a"}}}\n{"type":"LOG"}\n'),
    ],
)
def test_of_messages_the_rows_are_counted(reader: Any, line: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(line)
    assert list(reader.ids(tmp_path)) == ["a"]


def test_of_files_the_rows_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "rows" / "salesforce" / "account"
    folder.mkdir(parents=True)
    for name in ("1", "2"):
        (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(f'{{"id":"{name}"}}\n'.encode()))
    assert list(Dlt().ids(tmp_path)) == ["1", "2"]


def result(reader: str, seconds: float, cpu_seconds: float, found: int = 100) -> Result:
    return Result(reader, "1.0", "a file", 100, found, seconds, cpu_seconds, 90, 3)


def test_ratios_are_of_the_time_of_psastream() -> None:
    lines = table([result(OURS, 2.0, 1.0), result("tap", 5.0, 4.0)]).splitlines()
    assert re.search(r" 50 +1\.0 .* 1\.00 +1\.00 ", lines[1])
    assert re.search(r" 20 +4\.0 .* 2\.50 +4\.00 ", lines[2])


def test_whose_rows_are_wrong_has_no_time_and_is_compared_with_nobody() -> None:
    results = [result(OURS, 2.0, 1.0), result("tap", 5.0, 4.0, found=99)]
    assert "WRONG: 99 of 100 rows" in table(results)
    assert verdict(results) == "not compared"
    assert table([result("tap", 5.0, 4.0)]).splitlines()[1].count(".") == 3  # no ratio, either


def test_who_is_not_slower_by_one_of_both_is_named() -> None:
    ours = result(OURS, 2.0, 1.0)
    assert verdict([ours, result("tap", 5.0, 4.0)]) == "faster than each, by both"
    assert verdict([ours, result("tap", 5.0, 0.5)]) == "not faster than tap by processor time"
