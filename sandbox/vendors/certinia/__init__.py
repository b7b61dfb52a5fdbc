"""A PSA of the twin: Certinia's objects in an org of their own, with what its package does."""
