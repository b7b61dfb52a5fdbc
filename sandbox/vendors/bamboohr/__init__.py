"""BambooHR: people, their jobs and pay by date, and leave."""
