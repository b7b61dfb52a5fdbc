"""The resource manager of the twin: Float's REST API over people, roles, projects, allocations."""
