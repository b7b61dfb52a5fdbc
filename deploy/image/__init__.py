"""The images: what they are built from. `python -m deploy.image` writes their locks."""
