"""Kantata OX: projects and what other systems call them."""
