"""The embedded stack: Kafka, Connect with Debezium, PostgreSQL and our registry as processes.

For laptops, demonstrations and tests on a machine that has only Python. It is not how production
runs: there the same parts come as official images.
"""
