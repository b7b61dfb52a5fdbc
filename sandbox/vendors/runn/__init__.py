"""The twin's Runn: people and their plan as far as they are read, projects as they are written."""
