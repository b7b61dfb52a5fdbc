"""The digital twin: vendor APIs, from CRM to HR, that misbehave as the real ones do.

Everything lives in memory and in one event loop: a handler never awaits between reading a row and
writing it, so no lock is needed. Nothing here is used outside the sandbox and the tests.
"""
