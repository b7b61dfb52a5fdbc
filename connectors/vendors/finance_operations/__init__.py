"""Dynamics 365 Finance & Operations (ERP): the books, by declaration."""
