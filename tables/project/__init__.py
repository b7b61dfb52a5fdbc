"""Source projects: plans, hours, costs, billing, and the people who work on them."""
