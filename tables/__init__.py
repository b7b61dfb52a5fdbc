"""Live tables: pure functions from state and changes to state, commands and measures.

Nothing here does IO or reads a clock. A table is handed a `Documents` view of its partition and
the changes of one chunk, and returns what must be published; `streams.agents` brings both ends
to Kafka. Upholds I10.
"""
