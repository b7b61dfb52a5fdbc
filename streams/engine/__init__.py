"""The chunk engine: transport, exactly-once commit and recovery of chunk agents on Faust.

Agents are pure functions from a chunk and the state before it to effects; see `contract`. This
package is the only place that knows Faust's and aiokafka's insides.
"""

from streams.engine.app import EngineApp, create_app
from streams.engine.contract import (
    Accounting,
    AgentSpec,
    Chunk,
    ChunkHandler,
    DeadLetterWriter,
    Effects,
    Failure,
    GroupSpec,
    Header,
    Output,
    OutputBatch,
    State,
)
from streams.engine.instruments import Instruments, NoInstruments
from streams.engine.settings import EngineSettings

__all__ = [
    "Accounting",
    "AgentSpec",
    "Chunk",
    "ChunkHandler",
    "DeadLetterWriter",
    "Effects",
    "EngineApp",
    "EngineSettings",
    "Failure",
    "GroupSpec",
    "Header",
    "Instruments",
    "NoInstruments",
    "Output",
    "OutputBatch",
    "State",
    "create_app",
]
