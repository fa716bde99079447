"""Serve a registry to Prometheus: answer ``GET /metrics`` on a port, in threads."""

from __future__ import annotations

import socket
import threading
from socketserver import TCPServer, ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from bridge.errors import SettingsError


class Exporter:
    """Takes the port at once, and answers from ``start`` on.

    Args:
        host: Address to listen on; ``0.0.0.0`` is every IPv4 address of the machine, ``::`` IPv6.

    Raises:
        SettingsError: The port is taken, or the address is not one of this machine.
    """

    def __init__(self, registry: CollectorRegistry, *, host: str, port: int) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            family, address = found[0][0], str(found[0][4][0])
            server: type[WSGIServer] = type("Server", (_Server,), {"address_family": family})
            self._server: WSGIServer = make_server(
                address, port, make_wsgi_app(registry), server, handler_class=_QuietHandler
            )
        except OSError as exc:
            raise SettingsError(
                f"metrics cannot be served on {host}:{port} ({exc.strerror or exc}). Every poller "
                "and every beat process of a machine needs a BRIDGE_METRICS_PORT of its own, and "
                "BRIDGE_METRICS_HOST an address of the machine."
            ) from None
        self.address = f"{host}:{port}"

    def start(self) -> None:
        """Answer scrapes, in threads that end with the process."""
        threading.Thread(
            target=self._server.serve_forever, name="bridge-metrics", daemon=True
        ).start()

    def close(self) -> None:
        """Stop answering, and release the port; only after ``start``."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        # HTTPServer's method asks the DNS for this host's name, which may take long.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "", int(self.server_address[1])
        self.setup_environ()


class _QuietHandler(WSGIRequestHandler):
    # Seconds after which a connection without a request is closed, so that its thread ends.
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Log nothing for a scrape."""
