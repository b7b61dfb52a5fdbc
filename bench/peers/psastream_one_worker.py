"""psastream's engine in one process, to see what a second one brings."""

from bench.peers.psastream_engine import PsastreamEngine

PEER = PsastreamEngine("psastream, one worker", workers=1)
