"""The command-line program `psastream`: wires the packages to processes."""
