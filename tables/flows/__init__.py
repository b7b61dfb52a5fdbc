"""Flows: what targets are kept right in, one declaration and one file each, one loop for all."""
