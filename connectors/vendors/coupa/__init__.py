"""Coupa (procurement): orders, receipts and invoices of suppliers, by declaration."""
