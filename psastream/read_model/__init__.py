"""The read model: a PostgreSQL that holds the public topics as tables, and a star schema on them.

Rows and the offsets they hold up to are written in one transaction, so a kill at any place leaves
neither a gap nor a row twice.
"""
