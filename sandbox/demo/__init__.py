"""`psastream demo`: the real parts, the firm's story, and the comparison of the books."""
