"""Numbers that move while a story runs: what was written to the vendors so far."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

import httpx2

from sandbox.demo.audience import DemoAudience
from sandbox.demo.parts import Parts
from sandbox.vendors.client import VendorAdmin

INTERVAL_S: Final = 1.0


async def show_pulse(parts: Parts, audience: DemoAudience) -> None:
    """Show the numbers every second; ends only by cancellation."""
    with VendorAdmin(parts.vendors_url) as admin:
        while True:
            try:
                effects = await asyncio.to_thread(admin.effects)
            except httpx2.TransportError:
                audience.pulse("the vendors do not answer")
            else:
                writes = Counter(f"{effect.vendor} {effect.record_type}" for effect in effects)
                texts = [f"{count:,} {name}" for name, count in sorted(writes.items())]
                audience.pulse(f"written: {', '.join(texts) or 'nothing'}")
            await asyncio.sleep(INTERVAL_S)
