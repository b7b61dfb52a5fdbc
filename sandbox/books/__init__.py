"""The twin's own books: what every table must say, computed from the source systems' rows.

Independent on purpose: plain Python over whole tables, no code of `tables` or `streams`, no
columns, no increments. Ids alone are shared, through `schemas.identity`.
"""
