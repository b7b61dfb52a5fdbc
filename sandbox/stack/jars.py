"""Downloads the locked jars into the shared cache and checks every one against its checksum.

Which jars there are is decided in `lock_jars`; this module only follows `jars.lock`.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import requests
import stamina

from sandbox.stack.errors import DownloadError, UnwritableDirectoryError
from sandbox.stack.packages import import_package
from sandbox.stack.reporter import Reporter
from sandbox.stack.tasks import run_all

if TYPE_CHECKING:
    from jgo.maven import MavenContext

PARALLEL_DOWNLOADS = 16
REQUEST_TIMEOUT_S = 15


@dataclass(frozen=True, slots=True)
class LockedJar:
    """One line of `jars.lock`. `group` names the class path the jar belongs to."""

    group: str
    organisation: str
    artifact: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.organisation}:{self.artifact}:{self.version}"


def parse_lock(text: str) -> tuple[LockedJar, ...]:
    """The jars of a lock file: `group organisation:artifact:version sha256` a line."""
    jars = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        group, coordinate, sha256 = line.split()
        organisation, artifact, version = coordinate.split(":")
        jars.append(LockedJar(group, organisation, artifact, version, sha256))
    return tuple(jars)


def read_lock(name: str = "jars.lock") -> tuple[LockedJar, ...]:
    """The jars of a lock: those of the embedded stack, or of `lake.lock`."""
    return parse_lock(resources.files("sandbox.stack").joinpath(name).read_text())


async def fetch_jars(
    jars: Sequence[LockedJar], cache_dir: Path, reporter: Reporter
) -> dict[LockedJar, Path]:
    """Local paths of `jars`, downloading those the cache lacks or holds damaged.

    Raises DownloadError if one cannot be had or differs from its lock, and
    UnwritableDirectoryError if the cache cannot be written.
    """
    loop = asyncio.get_running_loop()
    fetched = itertools.count(1)
    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, _exclusive(cache_dir / "jars.flock"))
        context = _maven_context(cache_dir / "maven")
        pool = ThreadPoolExecutor(PARALLEL_DOWNLOADS, thread_name_prefix="jars")
        # Leaving early (an error, Ctrl-C) gives up the jars that are still queued.
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)

        async def fetch(jar: LockedJar) -> Path:
            path = await loop.run_in_executor(pool, _fetch_jar, context, jar)
            reporter.progress("jars", next(fetched), len(jars))
            return path

        return dict(zip(jars, await run_all(map(fetch, jars)), strict=True))


def _fetch_jar(context: "MavenContext", jar: LockedJar) -> Path:
    artifact = context.project(jar.organisation, jar.artifact).at_version(jar.version).artifact()
    path: Path = artifact.cached_path
    if path.exists() and _sha256(path) == jar.sha256:
        return path
    try:
        for attempt in stamina.retry_context(
            on=(requests.RequestException, RuntimeError), attempts=3, timeout=None
        ):
            with attempt:
                # jgo takes whatever lies here for complete; a broken download must go first.
                path.unlink(missing_ok=True)
                artifact.resolve()
    except (requests.RequestException, RuntimeError) as error:
        raise DownloadError(
            f"cannot download {jar}",
            hint="check the network and the proxy settings; a mirror goes into the "
            "[repositories] section of jgo's configuration file",
        ) from error
    if (found := _sha256(path)) != jar.sha256:
        path.unlink()
        raise DownloadError(
            f"downloaded {jar} has checksum {found}, locked is {jar.sha256}",
            hint="the mirror serves another file; use one that does not alter jars",
        )
    return path


def _maven_context(repo_cache: Path) -> "MavenContext":
    """Where jgo downloads from: the user's configured repositories first, then its default."""
    maven = import_package("jgo.maven")
    configured: dict[str, str] = import_package("jgo.config").GlobalSettings.load().repositories
    defaults: dict[str, str] = maven.MavenContext().remote_repos
    repositories = configured | {k: v for k, v in defaults.items() if k not in configured}
    return maven.MavenContext(
        repo_cache=repo_cache, remote_repos=repositories, timeout=REQUEST_TIMEOUT_S
    )


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Holds the file lock `path`, so that two stacks do not write the same download."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except (OSError, ValueError) as error:  # a ValueError for a path that can be none
        reason = getattr(error, "strerror", None) or str(error)
        raise UnwritableDirectoryError(
            f"the cache {str(path.parent)!r} cannot be written: {reason}",
            hint="set PSASTREAM_CACHE_DIR to a folder of your own",
        ) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
