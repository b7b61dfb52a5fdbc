"""Measures: one declaration and one file each, one fold for all of them."""
