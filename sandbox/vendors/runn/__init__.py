"""The twin's Runn: clients, projects and their milestones, as far as they are written."""
