"""What `psastream` can be told to do, a file for each noun.

Each command does three things: read settings, wire, run. Heavy imports happen inside, so that
`psastream --help` answers at once.
"""
