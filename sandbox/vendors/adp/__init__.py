"""ADP Workforce Now: workers, and a queue of what became of them."""
