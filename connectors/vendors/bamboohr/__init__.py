"""BambooHR (HR): employments, jobs and pay by date, by declaration."""
