"""Run the registry as a process: `python -m sandbox.registry --bootstrap-servers X --port P`.

It binds 127.0.0.1 only: there is no authentication.
"""

import argparse

import structlog
import uvicorn

from runtime.logs import configure_logs
from sandbox.registry.api import create_app
from sandbox.registry.compatibility import CompatibilityLevel
from sandbox.registry.schema_log import KafkaSchemaLog
from sandbox.registry.service import Registry
from schemas.errors import PsaStreamError

_log = structlog.get_logger()


def main() -> None:
    """Read the log, then serve until stopped. Exits with 1 and the reason if it cannot be read."""
    options = _parser().parse_args()
    configure_logs(json=False)
    try:
        _serve(options)
    except PsaStreamError as error:
        raise SystemExit(str(error)) from error


def _serve(options: argparse.Namespace) -> None:
    with KafkaSchemaLog(options.bootstrap_servers, topic=options.topic) as schema_log:
        registry = Registry(schema_log, default_level=options.compatibility)
        registry.load()
        _log.info("registry.loaded", subjects=len(registry.subjects()), port=options.port)
        uvicorn.run(
            create_app(registry),
            host="127.0.0.1",
            port=options.port,
            access_log=False,
            log_level="warning",
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.registry", description=__doc__)
    parser.add_argument("--bootstrap-servers", required=True, help="Kafka, host:port[,host:port]")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--topic", default="_schemas", help="log topic (default: _schemas)")
    parser.add_argument(
        "--compatibility",
        type=CompatibilityLevel,
        default=CompatibilityLevel.BACKWARD_TRANSITIVE,
        metavar="LEVEL",
        help="global level until one is set (default: BACKWARD_TRANSITIVE)",
    )
    return parser


if __name__ == "__main__":
    main()
