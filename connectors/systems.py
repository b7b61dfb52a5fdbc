"""The systems that can be had: folders that declare one each.

A folder holds `mapping.yaml`, the contract of each polled object as `avro/<object>.avsc`, and
`vendor.py` where code polls the system or writes to it, or what code of the product reads that
polls whatever is declared (`DRIVERS`). Its name is the system's. Folders are
those of the product, those of installed packages (entry points of the group `psastream.systems`,
whose name is the system's and whose value is the package that is its folder), and those the firm
names, which hold no code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import structlog

from connectors.polled.source import contract_file, contract_problems
from connectors.toolkit.vendor import Vendor
from schemas.errors import ConfigError
from schemas.landscape import Landscape, Role, load_landscape
from schemas.mapping.config import FILE, SystemConfig, parse_config
from schemas.mapping.loader import load_system
from schemas.system import SystemBundle
from schemas.yaml_text import line_of

_log = structlog.get_logger()

CONTRACTS: Final = "avro"
SUFFIX: Final = ".avsc"
CODE: Final = "vendor.py"
LANDSCAPE: Final = "landscape.yaml"
ROLES: Final = frozenset(role.value for role in Role)
DRIVERS: Final = {"rest": "connectors.rest", "singer": "connectors.singer"}
"""Code without a system of its own, by the name that `vendor` of a mapping.yaml gives it."""
ENTRY_POINTS: Final = "psastream.systems"
_HINT: Final = "PSASTREAM_SYSTEMS names the folders of systems that are not the product's"


class Systems:
    """Finds and reads the folders of systems. Reads nothing until it is asked for one."""

    def __init__(self, folders: Sequence[Path] = (), landscape: Landscape | None = None) -> None:
        """`folders` are systems of the firm's own, one each. Raises ConfigError.

        `landscape` says which systems mappings mean that name a role: by default the packaged one,
        which will do where nothing is made of rows.
        """
        packages = [
            *((name, f"connectors.vendors.{name}") for name in _packaged()),
            *((entry.name, entry.value) for entry in entry_points(group=ENTRY_POINTS)),
        ]
        self._packages = dict(packages)
        self._folders = {folder.resolve().name: folder for folder in folders}
        names = [name for name, _ in packages]
        names += [*DRIVERS, *(folder.resolve().name for folder in folders)]
        if roles := sorted(ROLES.intersection(names)):
            raise ConfigError(f"a role is called {', '.join(roles)}, no system", hint=_HINT)
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"several systems are called {', '.join(twice)}", hint=_HINT)
        self._landscape = landscape
        self._read: dict[str, SystemBundle] = {}

    def names(self) -> list[str]:
        """Return the names of all systems, the firm's own last."""
        return [*self._packages, *self._folders]

    def read(self, name: str) -> SystemBundle:
        """Return a system. Raises ConfigError naming every problem of its files."""
        if name not in self._read:
            system = self._compiled(name)
            try:
                self._require(system.vendor, *DRIVERS)
            except ConfigError as error:
                raise ConfigError(
                    f"{name}/{FILE}: vendor: {error.detail}",
                    hint="it names the system whose code polls and writes this one too",
                ) from error
            self._read[name] = system
        return self._read[name]

    def vendor(self, name: str) -> Vendor:
        """Return the code of the folder of a system: nothing, where it has none.

        Raises ConfigError where it cannot be loaded.
        """
        if name in DRIVERS:
            package = DRIVERS[name]
        elif name in self._folders or not (self._files(name) / CODE).is_file():
            return Vendor()
        else:
            package = self._packages[name]
        module = f"{package}.{CODE.removesuffix('.py')}"
        try:
            vendor = import_module(module).VENDOR
        except Exception as error:  # whatever a package raises that is not ours
            raise ConfigError(
                f"the code of {name} cannot be loaded: {type(error).__name__}: {error}",
                hint=f"VENDOR of {module} says what it can do; see connectors/toolkit/vendor.py",
            ) from error
        if not isinstance(vendor, Vendor):
            raise ConfigError(
                f"VENDOR of {module} is no Vendor", hint="see connectors/toolkit/vendor.py"
            )
        return vendor

    def vendor_of(self, name: str) -> Vendor:
        """Return the code that polls and writes a system: of its own folder, or of another's.

        Reads no more of its folder than that. Raises ConfigError.
        """
        _, config = _config(self._folder(name), name)
        vendor = config.vendor or name
        self._require(vendor, *DRIVERS)
        return self.vendor(vendor)

    def _compiled(self, name: str) -> SystemBundle:
        folder = self._folder(name)
        file, config = _config(folder, name)
        contracts = {
            each.name.removesuffix(SUFFIX): read_text(each, f"{name}/{CONTRACTS}/{each.name}")
            for each in _entries(folder / CONTRACTS)
            if each.name.endswith(SUFFIX)
        }
        problems = [
            f"{name}/{contract_file(obj)}: line {line_of(text, path)}: {problem}"
            for obj, text in contracts.items()
            for path, problem in contract_problems(text)
        ]
        if problems:
            raise ConfigError(
                "; ".join(problems),
                problems=problems,
                hint="texts, numbers, dates, decimals, lists, maps and records can be read",
            )
        text = read_text(folder / FILE, file)
        roles = self._rows_of_roles(config, text, file)
        others = {
            other: _config(self._folder(other), other)[1]
            for other in config.referring(roles).referred & set(self.names()) - {config.system}
        }
        ids = {other: each.ids for other, each in others.items()}
        system = load_system(text, contracts, ids, file, roles=roles)
        _require_kinds(config, {**others, config.system: config}, text, file)
        if system.name != name:
            raise ConfigError(
                f"{file}: system is {system.name}, and its folder is {name}",
                hint="a folder bears the name of its system",
            )
        declared = [
            each for each in _entries(folder) if each.name.endswith(".yaml") and each.name != FILE
        ]
        texts = {each.name: read_text(each, f"{name}/{each.name}") for each in declared}
        texts |= {contract_file(obj): contract for obj, contract in contracts.items()}
        return replace(system, files={FILE: text, **texts})

    def _rows_of_roles(self, config: SystemConfig, text: str, file: str) -> dict[str, str]:
        """Return which rows a mapping means by `<role>:<entity>`. Raises ConfigError."""
        found: dict[str, str] = {}
        problems: list[str] = []
        for namespace, place in config.namespaces.items():
            role, _, entity = namespace.partition(":")
            if role not in ROLES:
                continue
            rows = self._rows_of(Role(role), entity)
            if len(rows) == 1:
                found[namespace] = rows[0]
            else:
                means = f"may be {' or '.join(rows)}" if rows else "is made by no system"
                problems.append(f"{file}: line {line_of(text, place)}: {namespace} {means}")
        if problems:
            raise ConfigError(
                "; ".join(problems),
                problems=problems,
                hint="name the rows as <system>:<kind>, or the system in landscape.yaml",
            )
        return found

    def _rows_of(self, role: Role, entity: str) -> list[str]:
        if self._landscape is None:
            self._landscape = packaged_landscape()
        names = [name for name in self._landscape.of(role) if name in self.names()]
        configs = [_config(self._folder(name), name)[1] for name in names]
        return [f"{each.system}:{kind}" for each in configs for kind in each.made_of(entity)]

    def vendors(self, named: object = None) -> list[Vendor]:
        """Return the code of every system, and that which reads what a folder declares.

        Code that cannot be loaded holds up no other: it is left out, and said so. Raises
        ConfigError where `named`, the name of a class, is of such code.
        """
        found = []
        for name in (*self._packages, *DRIVERS):
            try:
                found.append(self.vendor(name))
            except ConfigError as error:
                if str(named).startswith(f"{self._packages.get(name, name)}."):
                    raise
                _log.warning("systems.left_out", system=name, error=error.detail, hint=error.hint)
        return found

    def _folder(self, name: str) -> Traversable | Path:
        self._require(name)
        return self._folders.get(name) or self._files(name)

    def _require(self, name: str, *others: str) -> None:
        if name not in (known := [*self.names(), *others]):
            near = get_close_matches(name, known, n=1)
            asked = f", did you mean {near[0]}" if near else ""
            raise ConfigError(f"there is no system {name}{asked}", hint=_HINT)

    def _files(self, name: str) -> Traversable:
        package = self._packages[name]
        try:
            return files(package)
        except Exception as error:  # no package, or whatever it raises as it is imported
            raise ConfigError(
                f"the package of system {name} cannot be read: {package!a}: {type(error).__name__}",
                hint=f"an entry point of the group {ENTRY_POINTS} names the package of a folder",
            ) from error


def _require_kinds(
    config: SystemConfig, systems: Mapping[str, SystemConfig], text: str, file: str
) -> None:
    """Raises ConfigError where a rule refers to a kind of rows that a system has not."""
    problems = []
    for namespace, place in config.namespaces.items():
        name, _, kind = namespace.partition(":")
        if name not in systems or kind in (kinds := systems[name].kinds):
            continue  # a role, of which the rows were looked for
        near = get_close_matches(kind, kinds, n=1)
        asked = f", did you mean {name}:{near[0]}" if near else ""
        told = f"no object of {name} is of kind {kind}{asked}"
        problems.append(f"{file}: line {line_of(text, place)}: {namespace}: {told}")
    if problems:
        raise ConfigError(
            "; ".join(problems),
            problems=problems,
            hint="correct the kind; one whose rows only others name, and no list or table of its "
            "own shows, stands in `embedded` of its system's mapping.yaml",
        )


def packaged_landscape() -> Landscape:
    """Return the landscape of the product's own systems."""
    return load_landscape(read_text(files("connectors") / LANDSCAPE, LANDSCAPE))


def _packaged() -> list[str]:
    return sorted(
        folder.name
        for folder in files("connectors.vendors").iterdir()
        if folder.is_dir() and folder.joinpath(FILE).is_file()
    )


def class_name(found: type) -> str:
    """Return how `connector.class` names a class."""
    return f"{found.__module__}.{found.__qualname__}"


def _config(folder: Traversable | Path, name: str) -> tuple[str, SystemConfig]:
    """Read the mapping of a system's folder: what problems call the file, and what it says."""
    file = f"{name}/{FILE}"
    return file, parse_config(read_text(folder / FILE, file), file)


def read_text(file: Traversable | Path, name: str, hint: str = _HINT) -> str:
    """Return the text of a file that is called `name` in problems. Raises ConfigError."""
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no text in UTF-8"
        raise ConfigError(f"{name} cannot be read: {reason}", hint=hint) from error


def _entries(folder: Traversable | Path) -> list[Traversable | Path]:
    return sorted(folder.iterdir(), key=lambda each: each.name) if folder.is_dir() else []
