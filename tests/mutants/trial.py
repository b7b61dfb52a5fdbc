"""Runs tests on one mutant: the body of a process that is thrown away afterwards."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType

import pytest


class MutatedModule(MetaPathFinder, Loader):
    """Gives one module another source."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name = name
        self._path = path
        self._code: CodeType = compile(source, str(path), "exec", dont_inherit=True)

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name != self._name:
            return None
        is_package = self._path.name == "__init__.py"
        spec = spec_from_loader(name, self, origin=str(self._path), is_package=is_package)
        if spec is not None:
            spec.has_location = True
            if is_package:
                spec.submodule_search_locations = [str(self._path.parent)]
        return spec

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)


class Chosen:
    """Runs the chosen tests only, in the order of the choice."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._order = {test: position for position, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._order),
            key=lambda item: self._order[item.nodeid],
        )


def try_tests(root: str, path: str, source: str, tests: Sequence[str], cpu_s: int) -> None:
    """Exit with pytest's code: 0 where all tests pass although the module is mutated."""
    os.chdir(root)
    os.environ["PSASTREAM_TEST_PROFILE"] = "mutants"
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - kept open to the end of the process
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    sys.meta_path.insert(0, MutatedModule(name, Path(root, path), source))
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    options = ["-x", "-q", "-p", "no:cacheprovider", "--no-header", *files]
    code = pytest.main(options, plugins=[Chosen(tests)])
    os._exit(int(code))  # threads that a mutant leaves behind do not matter
