"""The fuzzers there are."""

from __future__ import annotations

from typing import Final

from tests.fuzz.case import Fuzzer
from tests.fuzz.codec import run_codec, run_resolution
from tests.fuzz.sources import run_envelopes, run_rows
from tests.fuzz.tables import run_histories, run_published

FUZZERS: Final = (
    Fuzzer("codec", "records of any Avro schema", run_codec, weight=450, size=250),
    Fuzzer("resolution", "records of other versions", run_resolution, weight=120, size=120),
    Fuzzer("rows", "rows through the shipped mappings", run_rows, weight=150, size=400),
    Fuzzer("envelopes", "envelopes into normalize", run_envelopes, weight=150, size=400),
    Fuzzer("tables", "histories through the tables", run_histories, weight=10, size=200),
    Fuzzer("published", "normalized rows into the tables", run_published, weight=20, size=100),
)
BY_NAME: Final = {fuzzer.name: fuzzer for fuzzer in FUZZERS}
