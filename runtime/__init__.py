"""IO plumbing that every process shares: Kafka clients, registry, settings, logs, metrics port.

Not for anything that knows projects or hours.
"""
