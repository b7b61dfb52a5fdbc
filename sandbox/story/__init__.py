"""The story: what the people of a firm do in their systems, act by act, from one seed.

Acts write to the vendors' screens and the PSA's database only; nothing here talks to psastream.
"""
