"""ADP Workforce Now (HR, payroll): workers, told by a queue of messages, by declaration."""
