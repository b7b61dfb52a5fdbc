"""What every table stands on: documents, what is published, facts, ledgers of orders."""
