"""Programs that peers start."""
