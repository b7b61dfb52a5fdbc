"""The firm's own PSA database: captured by Debezium, mapped by mapping.yaml."""
