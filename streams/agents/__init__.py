"""The agents: one file each, a handler of chunks that is pure; the engine runs them."""
