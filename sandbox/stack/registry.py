"""How to start the schema registry of the sandbox, a Python program of this repository."""

import sys

from sandbox.stack.health import HttpHealth
from sandbox.stack.ports import HOST
from sandbox.stack.process import ProcessSpec


def registry_spec(port: int, bootstrap_servers: str) -> ProcessSpec:
    """The registry process on `port`, keeping its state in Kafka."""
    command = (sys.executable, "-m", "sandbox.registry", "--bootstrap-servers", bootstrap_servers)
    return ProcessSpec(
        name="registry",
        command=(*command, "--port", str(port)),
        health=HttpHealth(f"http://{HOST}:{port}/subjects"),
    )
