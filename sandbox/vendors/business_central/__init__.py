"""An ERP whose companies have books of their own, asked by OData."""
