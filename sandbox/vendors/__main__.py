"""Run the vendors: `python -m sandbox.vendors --port P --seed N --credentials-dir DIR`.

They bind 127.0.0.1 only. Credentials in the directory are kept, so clients survive a restart; the
rows do not. `GET /admin/health` answers once everything is up.
"""

import argparse
from pathlib import Path

import structlog

from runtime.logs import configure_logs
from sandbox.vendors.app import create_app
from sandbox.vendors.credentials import read_credentials, write_credentials
from sandbox.vendors.server import serve

_log = structlog.get_logger()


def main() -> None:
    """Write the credentials, then serve until stopped."""
    options = _parser().parse_args()
    configure_logs(json=False)
    base_url = f"http://127.0.0.1:{options.port}"
    credentials = read_credentials(options.credentials_dir)
    write_credentials(options.credentials_dir, base_url, credentials)
    app = create_app(base_url=base_url, seed=options.seed, credentials=credentials)
    _log.info("vendors.started", url=base_url, seed=options.seed)
    serve(app, port=options.port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.vendors", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--seed", type=int, default=1, help="seed of the faults (default: 1)")
    parser.add_argument(
        "--credentials-dir",
        type=Path,
        required=True,
        help="where keys and environment.json are written, mode 0600",
    )
    return parser


if __name__ == "__main__":
    main()
