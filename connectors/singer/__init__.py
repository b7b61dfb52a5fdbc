"""Singer taps as sources: any program that writes SCHEMA, RECORD and STATE on standard output."""
