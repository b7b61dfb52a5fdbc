"""A client that only repeats: what becomes of the same commands and faults without dispatch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from connectors.dispatch.commands import Command
from connectors.dispatch.main import load_sink
from connectors.toolkit.http import VendorClient
from schemas.errors import AuthenticationError, PsaStreamError, TransientError
from tests.prove.dispatch_judge import Form, Forms, Names, folded, held_by_id
from tests.prove.dispatch_plan import Chain
from tests.support.vendors import Vendors

TRIES: Final = 50
AT_ONCE: Final = 96


class Insistent:
    """A client of a vendor that sends each request again until it is answered well."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def request(self, *arguments: Any, **options: Any) -> Any:
        for _ in range(TRIES):
            try:
                return await self._client.request(*arguments, **options)
            except (TransientError, AuthenticationError):
                await asyncio.sleep(0.05)
        raise TimeoutError

    async def close(self) -> None:
        await self._client.close()


async def act_plainly(
    configs: Mapping[str, Path], environment: Mapping[str, str], chains: Sequence[Chain]
) -> None:
    """Carry out all commands with nothing but requests that are repeated."""
    sinks: dict[str, Any] = {}
    for name, path in configs.items():
        sinks[name] = load_sink(path, environment).make_sink(lambda: None)
        _insist(sinks[name])
    slots = asyncio.Semaphore(AT_ONCE)

    async def work(chain: Chain) -> None:
        known: str | None = None
        for step in chain:
            command = Command.from_record(dict(step.record))
            async with slots:
                try:
                    applied = await sinks[command.target].execute(command, known)
                except (PsaStreamError, TimeoutError):
                    continue
                known = applied.target_id or known

    await asyncio.gather(*map(work, chains))
    for sink in sinks.values():
        await sink.close()


def _insist(sink: Any) -> None:
    """Let the client of a sink, or of a part of it, repeat its requests."""
    holders = [
        each
        for each in (sink, *vars(sink).values())
        if isinstance(getattr(each, "_client", None), VendorClient)
    ]
    assert holders, f"{type(sink).__name__} has no client"
    for each in holders:
        each._client = Insistent(each._client)


def rehearse(
    twin: Vendors,
    configs: Mapping[str, Path],
    environment: Mapping[str, str],
    names: Names,
    chains: Sequence[Chain],
) -> Forms:
    """Carry out each command alone, at targets that are well; see what it does."""
    found: dict[tuple[str, str], Form] = {}
    for chain in chains:
        for step in chain:
            before = len(twin.admin.effects())
            mine = {step.target: configs[step.target]}
            asyncio.run(act_plainly(mine, environment, [Chain([step])]))
            made = twin.admin.effects()[before:]
            key = step.target, folded(step.identity)
            is_seen = [(it.vendor, folded(it.external_id)) == key for it in made]
            assert made and all(is_seen), f"{step.command_id} is not to be seen in {made}"
            held = held_by_id(twin.admin.books(), names).get(key, {})
            makes = any(names[step.target].values()) and not step.is_delete
            assert bool(held) is makes, f"{step.command_id} leaves {held}"
            contents = {(it.record_type, it.content) for it in made}
            found[step.target, step.form] = Form(len(made), len(contents), held)
    return found
