"""Harvest (time and expenses): projects, tasks, time entries and expenses, by declaration."""
