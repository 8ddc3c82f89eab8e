"""The socket that the server listens at; taken before the model is loaded."""

import socket

# What the extra `serve` brings.
MODULES = ("starlette", "uvicorn", "python_multipart", "prometheus_client")


def listen(host: str, port: int) -> socket.socket:
    """Takes an address; connections are refused until the server is ready.

    Args:
        host: name or address of this machine.
        port: int from 0 to 65535; 0 takes a free one.

    Raises:
        ValueError: naming a host that is no address, or a port that is taken.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"host={host}: is no address ({reason})") from None
    family, kind, protocol, _, address = found[0]
    taken = socket.socket(family, kind, protocol)
    try:
        # Without it, connections of a process that has ended would count too.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        return taken
    except OSError as error:
        taken.close()
        raise ValueError(
            f"port={port}: cannot listen at {host} ({error.strerror}); end the process "
            "that has it, or name another --port"
        ) from None


def url(taken: socket.socket) -> str:
    """Returns the address of the server's page."""
    host, port, *_ = taken.getsockname()
    shown = f"[{host}]" if taken.family == socket.AF_INET6 else host
    return f"http://{shown}:{port}"
