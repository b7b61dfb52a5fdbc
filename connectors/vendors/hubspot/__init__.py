"""HubSpot (CRM): companies and deals, by declaration."""
