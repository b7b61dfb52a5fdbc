"""Execution of commands against target systems, each with exactly one effect.

One process serves every configured target. Deciding what to do with a command is pure
(`ledger`); calling a target is the business of the vendor's folder
(`connectors.vendors.<vendor>.sink`). Not here: deriving commands, which is the work of `streams`
and `tables`.
"""
