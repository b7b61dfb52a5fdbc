"""Downloads of the locked jars, from a mirror the user configured for jgo."""

import functools
import hashlib
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.stack.errors import DownloadError
from sandbox.stack.jars import LockedJar, fetch_jars
from sandbox.stack.reporter import PlainReporter

pytestmark = pytest.mark.asyncio

CONTENT = b"the locked jar"
JAR = LockedJar("kafka", "org.example", "thing", "1.0", hashlib.sha256(CONTENT).hexdigest())
PATH = "org/example/thing/1.0/thing-1.0.jar"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder a local mirror serves; the only repository jgo is told of."""
    served = tmp_path / "mirror"
    (served / PATH).parent.mkdir(parents=True)
    (served / PATH).write_bytes(CONTENT)
    handler = functools.partial(QuietHandler, directory=str(served))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    config = tmp_path / "jgo.conf"
    config.write_text(f"[repositories]\ncentral = http://127.0.0.1:{server.server_port}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(config))
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


async def fetch(cache_dir: Path) -> Path:
    paths = await fetch_jars([JAR], cache_dir, PlainReporter(io.StringIO()))
    return paths[JAR]


async def test_a_jar_comes_from_the_configured_mirror(mirror: Path, tmp_path: Path) -> None:
    path = await fetch(tmp_path / "cache")

    assert path.read_bytes() == CONTENT


async def test_a_cached_jar_is_not_downloaded_again(mirror: Path, tmp_path: Path) -> None:
    await fetch(tmp_path / "cache")
    (mirror / PATH).unlink()

    assert (await fetch(tmp_path / "cache")).read_bytes() == CONTENT


async def test_a_damaged_cached_jar_is_replaced(mirror: Path, tmp_path: Path) -> None:
    path = await fetch(tmp_path / "cache")
    path.write_bytes(CONTENT[:3])

    assert (await fetch(tmp_path / "cache")).read_bytes() == CONTENT


async def test_an_altered_jar_is_refused_and_not_kept(mirror: Path, tmp_path: Path) -> None:
    (mirror / PATH).write_bytes(b"something else")

    for _ in range(2):
        with pytest.raises(DownloadError, match=r"org\.example:thing:1\.0 has checksum"):
            await fetch(tmp_path / "cache")


async def test_a_missing_jar_is_named_with_what_to_do(mirror: Path, tmp_path: Path) -> None:
    (mirror / PATH).unlink()

    with pytest.raises(DownloadError, match=r"cannot download org\.example:thing:1\.0.*network"):
        await fetch(tmp_path / "cache")
