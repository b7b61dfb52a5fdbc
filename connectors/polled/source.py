"""What a vendor gives to be polled."""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar, Protocol, Self

from connectors.polled.config import PolledConfig
from connectors.polled.model import ObjectReader
from schemas.codec.record import AvroSchema
from schemas.system import SystemBundle


class PolledSource(Protocol):
    """A vendor's readers. `connector.class` names a class that makes one."""

    config_model: ClassVar[type[PolledConfig]]

    @classmethod
    def objects_of(cls, system: SystemBundle) -> Collection[str]:
        """Return what it can read of a system. Raises ConfigError where its folder declares it."""
        ...

    @classmethod
    def from_config(cls, config: PolledConfig, system: SystemBundle) -> Self:
        """Make the source. Opens nothing.

        Raises ValueError where a private key cannot be used, and ConfigError.
        """
        ...

    def reader(self, obj: str, contract: AvroSchema) -> ObjectReader:
        """Return the reader of an object, whose rows have the fields of the contract."""
        ...

    async def close(self) -> None:
        """Close what the readers opened."""
        ...
