"""Engagements, and the projects that they ask for."""
