"""The ERP of the twin: NetSuite's SuiteQL and record services over an in-memory database."""
