"""Ties a program to the life of its supervisor, then becomes that program (exec).

Started as a script with a bare interpreter, never imported: running code between fork and exec of a
process with threads is what this avoids. Usage: leash.py PARENT_PID UID GID COMMAND...; UID -1
keeps the user.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent_pid, uid, gid = (int(argument) for argument in sys.argv[1:4])
    command = sys.argv[4:]
    if uid != -1:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After the change of user, which would clear it.
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent_pid:
        sys.exit("supervisor ended before its child had started")
    os.execvp(command[0], command)  # noqa: S606 - the purpose of this script


main()
