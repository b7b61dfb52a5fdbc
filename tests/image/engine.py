"""Builds the images by buildah, and runs them as the chart's pods do, without a container engine.

No registry is asked: the bases are a Debian with its Python, made here and named by its digest, in
place of those that `deploy/image/Dockerfile` names. All else is built by that file, step by step.
Layers are kept in the folder `image` of the user's cache.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sandbox.stack.connect_image import image_jars
from sandbox.stack.jars import fetch_jars
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import cache_dir_from
from tests.support.wheel import REPOSITORY

SUITE: Final = "bookworm"
PACKAGES: Final = "python3,python3-pip,ca-certificates,netbase,tzdata"
BASE: Final = f"localhost/psastream-base-{SUITE}"
BUILD_S: Final = 1_500
USER: Final = 10001
TOOLS: Final = ("buildah", "mmdebstrap", "unshare", "setpriv", "chroot")
DOCKERFILE: Final = REPOSITORY / "deploy" / "image" / "Dockerfile"
_AS_PODS: Final = """
set -eu
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
mount -o remount,bind,ro "$ROOT"
mount --bind "$STATE" "$ROOT$STATE_AT"
printf %s "$GIVEN" | while IFS=: read -r place source; do
    mount --bind "$source" "$ROOT$place"
    mount -o remount,bind,ro "$ROOT$place"
done
mount -t proc proc "$ROOT/proc"
exec env -i "$@"
"""


class CannotBuildError(Exception):
    """What builds images is not there, or failed; the message says what."""


def missing_tools() -> list[str]:
    """Return what keeps images from being built here."""
    found = [tool for tool in TOOLS if shutil.which(tool) is None]
    return found if os.geteuid() == 0 else [*found, "root"]


@dataclass(frozen=True, slots=True)
class Image:
    """A built image, its files below `root`."""

    root: Path
    config: Mapping[str, Any]
    layers: int
    state_at: str = "/var/lib/psastream"
    """Where it may write."""
    given: Mapping[str, Path] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """What its files take."""
        return sum(path.lstat().st_size for path in self.root.rglob("*") if not path.is_dir())

    def having(self, given: Mapping[str, Path]) -> Image:
        """Return it with folders and files of this machine, by the places where it reads them."""
        for place, source in given.items():
            at = self.root / place.lstrip("/")
            at.parent.mkdir(parents=True, exist_ok=True)
            at.mkdir(exist_ok=True) if source.is_dir() else at.touch()
        return replace(self, given={**self.given, **given})

    def command(
        self, arguments: Sequence[str], state: Path, environment: Mapping[str, str]
    ) -> list[str]:
        """Return what runs its entrypoint as a pod does.

        As its user, with no more rights to come by, the root read-only, and `state` as the one
        place that can be written to. The network is the host's.
        """
        variables = [*self.config["Env"], *(f"{key}={it}" for key, it in environment.items())]
        user, _, group = self.config["User"].partition(":")
        inside = ["sh", "-c", 'cd "$0" && exec "$@"', self.config.get("WorkingDir", "/")]
        given = "".join(f"{place}:{source}\n" for place, source in self.given.items())
        return [
            "env", f"ROOT={self.root}", f"STATE={state}", f"STATE_AT={self.state_at}",
            f"GIVEN={given}", "setpriv", "--no-new-privs", "unshare",
            "--mount", "--pid", "--ipc", "--fork", "--kill-child", "sh", "-c", _AS_PODS, "sh",
            *variables, str(shutil.which("chroot")), f"--userspec={user}:{group}",
            f"--groups={group}", str(self.root), *inside, *self.config["Entrypoint"], *arguments,
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Engine:
    """buildah with a store of its own."""

    store: Path

    def build(self, target: str, revision: str) -> str:
        """Build a target of the Dockerfile. Returns the name of its image."""
        digest = self._base()
        bases = {name: value for base in ("PYTHON", "KAFKA", "STRIMZI")
                 for name, value in ((base, BASE), (f"{base}_DIGEST", digest))}  # fmt: skip
        name = f"localhost/psastream-{target}"
        options = [
            f"--build-arg={key}={it}" for key, it in (bases | {"REVISION": revision}).items()
        ]
        options += [f"--volume={it}" for it in self._given_to_steps()]
        self.run(
            "build", "--quiet", "--isolation=chroot", "--layers", "--pull-never", "--network=host",
            f"--ignorefile={DOCKERFILE}.dockerignore", f"--file={DOCKERFILE}", *options,
            f"--target={target}", f"--tag={name}", str(REPOSITORY),
        )  # fmt: skip
        return name

    @contextmanager
    def opened(self, name: str) -> Iterator[Image]:
        """Mount an image for the length of the block."""
        container = self.run("from", "--pull-never", name).strip()
        try:
            told = json.loads(self.run("inspect", "--type=image", name))["OCIv1"]
            root = Path(self.run("mount", container).strip())
            yield Image(root, told["config"], len(told["rootfs"]["diff_ids"]))
        finally:
            self.run("rm", container)

    def run(self, *arguments: str) -> str:
        """Run buildah and return what it prints. Raises CannotBuildError."""
        command = [
            "buildah", f"--root={self.store}", f"--runroot={self.store}-run",
            "--storage-driver=overlay", *arguments,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
        if done.returncode:
            raise CannotBuildError(f"{arguments[0]}: {done.stderr[-3000:]}")
        return done.stdout

    def _base(self) -> str:
        """Return the digest of the base, which is made where it is not there."""
        if digest := self._digest():
            return digest
        with tempfile.TemporaryDirectory(dir=self.store.parent) as folder:
            archive = Path(folder) / "base.tar"
            make = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}"]
            subprocess.run([*make, SUITE, str(archive)], check=True, timeout=BUILD_S)
            container = self.run("from", "scratch").strip()
            self.run("add", "--quiet", container, str(archive), "/")
        # As the image of Python has it: `python` is there, and pip installs where it is told to.
        makes_alike = "ln -s /usr/bin/python3 /usr/local/bin/python; rm /usr/lib/python3*/EXT*"
        self.run("run", "--isolation=chroot", container, "--", "sh", "-c", makes_alike)
        path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.run("config", f"--env=PATH={path}", container)
        self.run("commit", "--quiet", "--rm", container, BASE)
        return self._digest()

    def _digest(self) -> str:
        told = json.loads(self.run("images", "--json"))
        return next((it["digest"] for it in told or () if f"{BASE}:latest" in it["names"]), "")

    def _given_to_steps(self) -> Iterator[str]:
        """How this machine reaches its registries, for steps alone; jars that it has fetched.

        A step knows no mirror of them. What it takes is checked against the locks all the same.
        """
        certificates = Path("/etc/ssl/certs")
        if certificates.is_dir():
            yield f"{certificates}:{certificates}:ro"
            tool = self.store.parent / "uv"
            tool.mkdir(exist_ok=True)
            (tool / "uv.toml").write_text("system-certs = true\n")
            yield f"{tool}:/etc/uv:ro"
        for path in (Path("/etc/pip.conf"),):
            if path.is_file():
                yield f"{path}:{path}:ro"
        cache_dir = cache_dir_from(os.environ).resolve()
        asyncio.run(fetch_jars(image_jars(), cache_dir, PlainReporter(sys.stderr)))
        yield f"{cache_dir}:/jars"


@contextmanager
def engine() -> Iterator[Engine]:
    """Give the one engine of the user's cache, for the length of the block."""
    folder = cache_dir_from(os.environ).resolve() / "image"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "engine.flock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Engine(folder / "store")


def clean() -> None:
    """Remove all layers that are kept: `python -m tests.image.engine`."""
    with engine() as builder:
        builder.run("rm", "--all")
        builder.run("rmi", "--all", "--force")


if __name__ == "__main__":
    sys.exit(clean())
