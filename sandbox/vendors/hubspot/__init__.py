"""A CRM like HubSpot's: lists, a search whose index lags, an archive."""
