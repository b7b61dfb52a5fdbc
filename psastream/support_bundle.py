"""What somebody who helps from afar needs to know, in one file, without secrets or records."""

from __future__ import annotations

import io
import json
import os
import platform
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any, Final

import httpx2

from psastream.catalogue import catalogue_json
from psastream.check.files import Files, read_configuration
from psastream.check.findings import findings_json
from psastream.check.run import ask_all
from psastream.flows import flows_of
from psastream.landscape import read_firm
from psastream.status.gathering import gather
from psastream.status.model import status_json
from psastream.status.probes import PROBE_S
from runtime.secrets import MASK, is_secret_name, mask
from runtime.settings import PREFIX, Settings
from schemas.errors import ConfigError

LOG_MAX_BYTES: Final = 4 << 20
"""Of each log file its end is taken: what went wrong last."""
README: Final = """\
What is here tells how a psastream installation is, not what it holds: no records, no names, no
amounts but sums of what waits. Passwords, tokens and keys are masked. What could not be gathered
is in problems.txt.
"""

Part = tuple[str, Callable[[], str]]


def write_bundle(
    path: Path,
    settings: Settings,
    files: Files,
    logs: Sequence[Path],
    environment: Mapping[str, str],
) -> Sequence[str]:
    """Write the bundle, which must not exist; return what could not be gathered.

    A part that fails holds up no other: a bundle is wanted when things fail. Raises ConfigError
    where the file cannot be written.
    """
    problems: list[str] = []
    folder = path.name.removesuffix(".gz").removesuffix(".tar").removesuffix(".tgz")
    try:
        with (
            open(path, "xb", opener=partial(os.open, mode=0o600)) as file,
            tarfile.open(fileobj=file, mode="w:gz") as bundle,
        ):
            for name, gathered in _parts(settings, files, logs, environment):
                try:
                    _add(bundle, f"{folder}/{name}", gathered())
                except Exception as error:  # whatever fails is what the reader looks for
                    problems.append(mask(f"{name}: {type(error).__name__}: {error}"))
            _add(bundle, f"{folder}/problems.txt", "".join(f"{each}\n" for each in problems))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    return problems


def log_files(named: Iterable[Path]) -> list[Path]:
    """Return the files, and those that end in `.log` of each folder."""
    return [
        path for each in named for path in (sorted(each.glob("*.log")) if each.is_dir() else [each])
    ]


def _parts(
    settings: Settings, files: Files, logs: Sequence[Path], environment: Mapping[str, str]
) -> Iterator[Part]:
    yield "README.txt", lambda: README
    yield "about.json", lambda: _json(_about())
    yield "settings.json", lambda: _json(_settings(environment))
    yield "topics.json", lambda: catalogue_json(read_firm(settings).topics)
    yield "flows.json", lambda: _json([asdict(flow) for flow in flows_of(read_firm(settings))])
    yield (
        "status.json",
        lambda: _json(
            status_json(gather(settings, read_firm(settings), lambda: datetime.now(UTC)))
        ),
    )
    yield "check.json", lambda: _json(_check(files, environment))
    for name, url in settings.processes.items():
        yield f"metrics/{name}.txt", partial(_served, f"{url}/metrics")
        yield f"probes/{name}.txt", partial(_served, f"{url}/readyz")
    taken: Counter[str] = Counter()
    for path in logs:
        taken[path.name] += 1
        folder = f"logs/{taken[path.name]}" if taken[path.name] > 1 else "logs"
        yield f"{folder}/{path.name}", partial(_end_of, path)


def _about() -> dict[str, Any]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version,
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "packages": {each.name: each.version for each in distributions()},
    }


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: MASK if is_secret_name(name.lower().replace("_", ".")) else value
        for name, value in sorted(environment.items())
        if name.startswith(PREFIX)
    }


def _check(files: Files, environment: Mapping[str, str]) -> Any:
    configuration = read_configuration(files, environment, needs_addresses=True)
    return findings_json([*configuration.findings, *ask_all(configuration, environment)])


def _served(url: str) -> str:
    return httpx2.get(url, timeout=PROBE_S).text


def _end_of(path: Path) -> str:
    """Return the last whole lines: of a secret that was cut in two, nothing could be masked."""
    with path.open("rb") as file:
        begin = max(0, file.seek(0, os.SEEK_END) - LOG_MAX_BYTES)
        file.seek(begin)
        if begin:
            file.readline()
        return file.read().decode(errors="replace")


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _add(bundle: tarfile.TarFile, name: str, text: str) -> None:
    content = mask(text).encode()
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o600
    member.mtime = int(datetime.now(UTC).timestamp())
    bundle.addfile(member, io.BytesIO(content))
