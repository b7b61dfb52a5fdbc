"""How many examples a property test makes: few in `make test`, many in `make properties`."""

import os
from typing import Final

TIMES: Final = int(os.environ.get("PSASTREAM_TEST_TIMES", "1"))


def examples(count: int) -> int:
    """`count` in the short form, `PSASTREAM_TEST_TIMES` times as many in the long one."""
    return count * TIMES
