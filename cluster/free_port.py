"""Print a free TCP port: the preferred one where nothing listens on it, else one that the kernel picks.

Called by process.sh with the preferred port. It does not hold the port: two clusters started in the same instant could
be told the same one, and the slower one then fails with "address already in use" and may be started again.
"""

import socket
import sys


def bindable(port: int) -> int | None:
    """The port that could be bound (0 asks the kernel for any), or None when it is taken."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("0.0.0.0", port))
        except OSError:
            return None
        return int(listener.getsockname()[1])


print(bindable(int(sys.argv[1])) or bindable(0))
