"""REST APIs as polled sources, by a declaration in the system's folder and no code."""
