"""Free ports on the loopback address, the same ones in the next run where possible."""

import json
import secrets
import socket
from pathlib import Path

HOST = "127.0.0.1"

# Below the range operating systems take outgoing ports from. A client that retries a port inside
# that range while its server is down can connect to itself, and so keep the server from returning.
LOWEST_PORT, HIGHEST_PORT = 20_000, 29_999


class PortBook:
    """Hands out free ports by name and remembers them in a file.

    Stored connector configurations name the ports of other parts, so a port changes only when
    another program took it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}

    def port(self, name: str) -> int:
        """The remembered port of `name` if it is free, else a new free one."""
        remembered = self._ports.get(name)
        if remembered is None or not is_free(remembered):
            self._ports[name] = self._new_port()
            self._path.write_text(json.dumps(self._ports))
        return self._ports[name]

    def _new_port(self) -> int:
        while True:
            port = LOWEST_PORT + secrets.randbelow(HIGHEST_PORT - LOWEST_PORT + 1)
            if port not in self._ports.values() and is_free(port):
                return port


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last connections still linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
