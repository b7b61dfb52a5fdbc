"""An embedded schema registry that speaks Confluent's REST interface and `_schemas` log format.

It serves the sandbox, tests and single-machine use; where a real registry is configured, that one
is used. It is not clustered, has no authentication, and knows Avro without schema references.
"""
