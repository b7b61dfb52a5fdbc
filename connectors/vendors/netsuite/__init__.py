"""NetSuite (ERP): source of legal entities, customers, projects, time bills and invoices."""
