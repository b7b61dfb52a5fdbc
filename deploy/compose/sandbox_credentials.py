"""Makes the credentials of the compose sandbox in a volume, once: nothing secret is in the files.

Run with the directory as the only argument. Key files and `environment.json` are for psastream's
user; each variable also becomes a file of its own, which `with-secrets` and PostgreSQL read.
"""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

from sandbox.vendors.credentials import ENVIRONMENT_FILE, read_credentials, write_credentials

# The twin listens on its own loopback only; poller and dispatcher share its network namespace.
VENDORS_URL = "http://127.0.0.1:8090"
CONNECT_USERS = "connect_users"
DATABASE_PASSWORD = "INHOUSE_PSA_PASSWORD"  # noqa: S105 - a variable's name


def write_all(directory: Path) -> None:
    """Write what is missing; what exists is kept."""
    credentials = read_credentials(directory)
    write_credentials(directory, VENDORS_URL, credentials)
    variables: dict[str, str] = json.loads((directory / ENVIRONMENT_FILE).read_text())
    if not (directory / DATABASE_PASSWORD).exists():
        variables[DATABASE_PASSWORD] = secrets.token_urlsafe(24)
    if not (directory / CONNECT_USERS).exists():
        password = secrets.token_urlsafe(24)
        variables[CONNECT_USERS] = f"psastream={password}\n"
        variables["PSASTREAM_CONNECT_URL"] = f"http://psastream:{password}@connect:8083"
    for name, value in variables.items():
        file = directory / name
        file.unlink(missing_ok=True)  # it may be read-only
        file.write_text(value)
        file.chmod(0o444)  # containers of this volume run as different users


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
