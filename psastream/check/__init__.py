"""`psastream check`: everything that can be known before anything starts, with what to do."""
