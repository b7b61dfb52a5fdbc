"""Certinia PSA (on the Salesforce platform): people, projects, plans, timecards and expenses."""
