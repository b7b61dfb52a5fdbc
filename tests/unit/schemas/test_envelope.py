from typing import Any

from schemas.codec.columnar import ChunkDecoder, decode_chunk
from schemas.codec.framing import frame
from schemas.codec.record import RecordCodec, load_schema
from schemas.envelope import EnvelopeField, Operation, SourceField, envelope_schema

ROW = load_schema(
    {
        "type": "record",
        "name": "Account",
        "namespace": "psa.source.crm",
        "fields": [{"name": "id", "type": ["null", "string"], "default": None}],
    }
)
EVENT: dict[str, Any] = {
    "before": None,
    "after": {"id": "A-1"},
    "source": {
        "version": "1",
        "connector": "crm",
        "name": "crm",
        "ts_ms": 1,
        "snapshot": "false",
        "db": "crm",
        "sequence": '["7"]',
        "schema": None,
        "table": "account",
    },
    "transaction": None,
    "op": "c",
    "ts_ms": 2,
}

# The envelope the Avro converter registers for Debezium's PostgreSQL connector.
DEBEZIUM = load_schema(
    """{"type":"record","name":"Envelope","namespace":"erp.public.account","fields":[
    {"name":"before","type":["null",{"type":"record","name":"Value","fields":[
      {"name":"id","type":"string"}],"connect.name":"erp.public.account.Value"}],"default":null},
    {"name":"after","type":["null","Value"],"default":null},
    {"name":"source","type":{"type":"record","name":"Source",
      "namespace":"io.debezium.connector.postgresql","fields":[
      {"name":"version","type":"string"},{"name":"connector","type":"string"},
      {"name":"name","type":"string"},{"name":"ts_ms","type":"long"},
      {"name":"snapshot","type":[{"type":"string","connect.version":1,
        "connect.default":"false","connect.name":"io.debezium.data.Enum"},"null"],
        "default":"false"},
      {"name":"db","type":"string"},{"name":"sequence","type":["null","string"],"default":null},
      {"name":"schema","type":"string"},{"name":"table","type":"string"},
      {"name":"txId","type":["null","long"],"default":null},
      {"name":"lsn","type":["null","long"],"default":null}]}},
    {"name":"transaction","type":["null",{"type":"record","name":"block","namespace":"event",
      "fields":[{"name":"id","type":"string"},{"name":"total_order","type":"long"},
      {"name":"data_collection_order","type":"long"}]}],"default":null},
    {"name":"op","type":"string"},
    {"name":"ts_ms","type":["null","long"],"default":null}]}"""
)


def test_an_envelope_is_named_after_its_row() -> None:
    assert envelope_schema(ROW).name == "psa.source.crm.Account.Envelope"
    assert load_schema(envelope_schema(ROW).text) == envelope_schema(ROW)


def test_a_change_event_comes_back_from_a_chunk() -> None:
    schema = envelope_schema(ROW)
    decoder = ChunkDecoder(schema)
    assert decoder.decode([RecordCodec(schema).encode(EVENT)], prefix=0).to_dicts() == [EVENT]
    assert decoder.native


def test_field_names_are_those_of_the_schema() -> None:
    definition = envelope_schema(ROW).parsed
    fields: list[Any] = definition["fields"]  # type: ignore[assignment]
    assert {field["name"] for field in fields} == set(EnvelopeField)
    source = next(field for field in fields if field["name"] == EnvelopeField.SOURCE)
    assert [field["name"] for field in source["type"]["fields"]] == list(SourceField)
    assert set(Operation) == {"c", "u", "d", "r", "t"}


def test_debeziums_envelopes_read_as_ours() -> None:
    event = EVENT | {"source": EVENT["source"] | {"schema": "public", "lsn": 9, "txId": 1}}
    value = frame(1, RecordCodec(DEBEZIUM).encode(event))
    chunk = decode_chunk([value], lambda _: DEBEZIUM, envelope_schema(ROW))
    assert not chunk.errors
    expected = EVENT | {"source": EVENT["source"] | {"schema": "public"}}
    assert chunk.frame.to_dicts() == [expected]
