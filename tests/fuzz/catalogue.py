"""The fuzzers there are."""

from __future__ import annotations

from typing import Final

from tests.fuzz.case import Fuzzer
from tests.fuzz.codec import run_codec, run_resolution
from tests.fuzz.configuration import run_files, run_mappings, run_variables
from tests.fuzz.registries import run_client, run_requests, run_versions
from tests.fuzz.sources import run_envelopes, run_rows
from tests.fuzz.tables import run_histories, run_published
from tests.fuzz.vendors import run_commands, run_readers, run_tokens

FUZZERS: Final = (
    Fuzzer("codec", "records of any Avro schema", run_codec, weight=450, size=250),
    Fuzzer("resolution", "records of other versions", run_resolution, weight=120, size=120),
    Fuzzer("rows", "rows through the shipped mappings", run_rows, weight=150, size=400),
    Fuzzer("envelopes", "envelopes into normalize", run_envelopes, weight=150, size=400),
    Fuzzer("tables", "histories through the tables", run_histories, weight=10, size=200),
    Fuzzer("published", "normalized rows into the tables", run_published, weight=20, size=100),
    Fuzzer("readers", "answers to readers", run_readers, weight=15, size=100),
    Fuzzer("tokens", "answers to token requests", run_tokens, weight=5, size=100),
    Fuzzer("commands", "command payloads and answers to sinks", run_commands, weight=40, size=200),
    Fuzzer("files", "connector files", run_files, weight=30, size=200),
    Fuzzer("variables", "variables of the environment", run_variables, weight=20, size=200),
    Fuzzer("mappings", "mapping files", run_mappings, weight=4, size=40),
    Fuzzer("versions", "versions in the sandbox's registry", run_versions, weight=30, size=200),
    Fuzzer("requests", "requests to the sandbox's registry", run_requests, weight=15, size=200),
    Fuzzer("client", "answers to the registry client", run_client, weight=15, size=200),
)
BY_NAME: Final = {fuzzer.name: fuzzer for fuzzer in FUZZERS}
