"""`python -m psastream`."""

from psastream.cli import app

if __name__ == "__main__":
    app()
