"""Business Central (ERP): source of legal entities, customers, projects, time and invoices."""
