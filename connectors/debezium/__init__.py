"""Databases captured by Debezium: connector files, registration, status and restarts."""
