"""Fuzzers: random inputs of every kind that comes in, in numbers that a property test never sees.

`make fuzz N=1000000 FUZZ_SEED=1` runs them all; see `docs/testing.md`.
"""
