"""Kantata OX (PSA): projects, tasks, time, expenses, people and leave, by declaration."""
