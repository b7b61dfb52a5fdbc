"""The Helm chart. `python -m deploy.helm` copies into it what the product has elsewhere."""
