"""Coupa: orders, receipts and invoices of suppliers."""
