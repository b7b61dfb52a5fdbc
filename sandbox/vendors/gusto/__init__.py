"""Gusto: people, jobs with their pay by date, and payrolls with what each person costs."""
