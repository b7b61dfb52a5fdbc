"""Salesforce (CRM): source of accounts, opportunities and their lines."""
