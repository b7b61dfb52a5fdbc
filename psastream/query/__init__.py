"""Questions in SQL over the topics: DuckDB in the process, views with names people use."""
