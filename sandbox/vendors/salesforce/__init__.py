"""The CRM of the twin: Salesforce's REST API over accounts, opportunities and their lines."""
