"""The bridge's listening socket: on its port, or on the next free one above it."""

import errno
import socket

TRIES = 100
"""Ports tried above the first."""

BACKLOG = 128


class CannotListenError(OSError):
    """There is no such address here, or no free port. The message is one sentence."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket on the port, or on the next free one above it; 0: any free one.

    Raises CannotListenError.
    """
    ports = (0,) if port == 0 else range(port, min(port + TRIES, 65536))
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as exc:
        raise CannotListenError(f"bridge_host: {host!r} is no address: {exc.strerror}") from None
    for one in ports:
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((address[0], one))
            listening.listen(BACKLOG)
        except OSError as exc:
            listening.close()
            if exc.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise CannotListenError(
                f"bridge_host: cannot listen on {host}: {exc.strerror}"
            ) from None
        return listening
    raise CannotListenError(f"no free port for the bridge from {port} on")


def url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
