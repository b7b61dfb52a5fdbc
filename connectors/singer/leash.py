"""Ties a tap to the life of its poller, then becomes that tap (exec).

Started as a script with a bare interpreter: running code between fork and exec of a
process with threads is what this avoids. Usage: leash.py PARENT_PID COMMAND...
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent_pid, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent_pid:
        sys.exit("the poller ended before its tap had started")
    os.execv(command[0], command)  # noqa: S606 - the purpose of this script


if __name__ == "__main__":
    main()
