"""An ERP whose data entities hold the records of all companies, asked by OData."""
