"""Runn (resource management): people, projects, plans, leave and time, by declaration."""
