"""Dataverse (Dynamics 365 Sales, CRM): accounts and opportunities, by declaration."""
