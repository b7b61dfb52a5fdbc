"""`psastream status`: how all that runs is, on one screen, asked of the parts themselves."""
