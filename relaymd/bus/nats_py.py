"""nats-py, by the one module that imports it: without the half of its start, for WebSockets."""

from relaymd.imports import not_found

with not_found("aiohttp"):  # nats-py does without; nobody here connects to ws:// or wss://
    from nats import errors
    from nats.aio.client import Client, Server
    from nats.aio.msg import Msg
    from nats.protocol import parser

__all__ = ["Client", "Msg", "Server", "errors", "parser"]
