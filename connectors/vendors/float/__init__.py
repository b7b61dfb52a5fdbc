"""Float (resource management): source of people, roles, projects and allocations."""
