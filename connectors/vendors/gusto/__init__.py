"""Gusto (payroll): what people are paid by date, and what each payroll cost, by declaration."""
