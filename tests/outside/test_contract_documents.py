"""The documents of `psastream schemas export`, read by tools that nobody here wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from psastream.governance.asyncapi import asyncapi_document
from psastream.governance.odcs import odcs_document
from psastream.governance.published import published, value_record
from tests.support.catalogue import CATALOGUE
from tests.support.taps import installed, installed_packages

WHICH = pytest.mark.parametrize("patterns", [(), ("*",)], ids=["public", "all"])
Document = dict[str, Any]

# What the parser of AsyncAPI's makers has against a document, and what it read of it.
PARSER = """
const { Parser } = require("@asyncapi/parser");
const { AvroSchemaParser } = require("@asyncapi/avro-schema-parser");
const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
const fields = (channel) => Object.keys(channel.messages().all()[0].payload().properties());
const text = require("fs").readFileSync(process.argv[1], "utf8");
parser.parse(text).then(({ document, diagnostics }) => console.log(JSON.stringify({
  diagnostics: diagnostics.map((each) => `${each.path.join(".")}: ${each.message}`),
  fields: Object.fromEntries(
    (document?.channels().all() ?? []).map((channel) => [channel.address(), fields(channel)])),
})));
"""


def written(document: Document, folder: Path) -> Path:
    path = folder / "document.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def parsed(document: Document, folder: Path) -> Document:
    node = shutil.which("node")
    assert node, "AsyncAPI's parser needs node and npm"
    command = [node, "--eval", PARSER, str(written(document, folder))]
    tool = installed_packages("asyncapi", "contracts")
    read: Document = json.loads(subprocess.check_output(command, cwd=tool, text=True))
    return read


def lint(document: Document, folder: Path) -> subprocess.CompletedProcess[str]:
    tool = installed("datacontract", "contracts")
    path = written(document, folder)
    return subprocess.run(
        [str(tool), "lint", path.name], cwd=folder, capture_output=True, text=True, check=False
    )


@WHICH
def test_asyncapi_s_parser_reads_every_field_of_every_topic(
    patterns: tuple[str, ...], tmp_path: Path
) -> None:
    topics = published(CATALOGUE, patterns)
    read = parsed(asyncapi_document(topics), tmp_path)
    assert read["diagnostics"] == []
    assert read["fields"].keys() == {topic.name for topic in topics}
    for topic in topics:
        record = value_record(topic)
        assert read["fields"][topic.name] == [field["name"] for field in record["fields"]]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda document: document["channels"]["psa.project"].update(address=7),
        lambda document: document["components"]["messages"].pop("psa.project"),
        lambda document: document["components"]["messages"]["psa.project"]["payload"][
            "schema"
        ].update(type="recrod"),
        lambda document: document["operations"]["psa.project"].update(action="publish"),
    ],
    ids=["address", "message", "schema", "action"],
)
def test_asyncapi_s_parser_refuses_what_is_spoiled(
    spoil: Callable[[Document], object], tmp_path: Path
) -> None:
    document = asyncapi_document(published(CATALOGUE))
    spoil(document)
    assert parsed(document, tmp_path)["diagnostics"]


@WHICH
def test_the_data_contract_is_valid(patterns: tuple[str, ...], tmp_path: Path) -> None:
    told = lint(odcs_document(published(CATALOGUE, patterns)), tmp_path)
    assert told.returncode == 0, told.stdout


def test_a_spoiled_data_contract_is_refused(tmp_path: Path) -> None:
    document = odcs_document(published(CATALOGUE))
    document["schema"][0]["properties"][0]["logicalType"] = "text"
    assert lint(document, tmp_path).returncode != 0
