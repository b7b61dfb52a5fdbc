"""The engine of the polled sources: cursors, ledger, deletes, sweeps, publishing, bookmarks.

What a vendor's API looks like is in `connectors/vendors/<vendor>/source.py`.
"""
