"""Serve Step Functions over HTTP on 127.0.0.1."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable
from typing import Any, Self

from moto.core.config import default_user_config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from bridge.errors import BridgeError
from bridge.local.stepfunctions.activity_tasks import TASKS, RequestRefused
from bridge.local.stepfunctions.hot_calls import HotCalls
from bridge.local.stepfunctions.moto_patches import patch_moto

HOLD_S = 60.0


class LocalStepFunctionsError(BridgeError):
    """The local server could not be started; the message says why."""


class _Application:
    """The WSGI application: it answers the four calls of activities, and moto all others.

    ``/_local/calls`` and ``/_local/polls`` answer what ``ActivityTasks`` has counted.
    """

    def __init__(self, hold_s: float) -> None:
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._hot_calls = HotCalls(hold_s).by_name

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/_local/calls":
            calls = {execution: dict(counts) for execution, counts in TASKS.calls.items()}
            return _answer(start_response, 200, calls)
        if environ["PATH_INFO"] == "/_local/polls":
            return _answer(start_response, 200, TASKS.open_polls())
        name = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        call = self._hot_calls.get(name)
        if call is None:
            answer: Iterable[bytes] = self._moto(environ, start_response)
            return answer
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        try:
            return _answer(start_response, 200, call(json.loads(body)))
        except RequestRefused as exc:
            error = {"__type": exc.code, "message": str(exc)}
        except (ValueError, TypeError) as exc:
            error = {"__type": "SerializationException", "message": str(exc)}
        return _answer(start_response, 400, error)


def _answer(start_response: Any, status: int, body: dict[str, Any]) -> list[bytes]:
    content = json.dumps(body).encode()
    reason = "200 OK" if status == 200 else "400 Bad Request"
    headers = [
        ("Content-Type", "application/x-amz-json-1.0"),
        ("Content-Length", str(len(content))),
    ]
    start_response(reason, headers)
    return [content]


class _Handler(WSGIRequestHandler):  # type: ignore[misc]
    protocol_version = "HTTP/1.1"  # keeps connections open, as AWS does

    def log_request(self, *_: Any) -> None:
        """Do not log each request."""


class LocalStepFunctions:
    """A Step Functions endpoint on 127.0.0.1; a context manager.

    Args:
        port: The port to listen on; 0 takes a free one.
        hold_s: How long a poll without a task is held; 60 s at AWS.
    """

    def __init__(self, *, port: int = 0, hold_s: float = HOLD_S) -> None:
        self._requested_port = port
        self._hold_s = hold_s
        self._server: Any = None

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self._server.server_port)

    @property
    def url(self) -> str:
        """The value of ``AWS_ENDPOINT_URL_SFN`` for clients."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Listen, and return at once.

        Raises:
            LocalStepFunctionsError: The port is taken.
        """
        patch_moto()
        default_user_config["stepfunctions"] = {"execute_state_machine": True}
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        # moto logs each state that fails as an error; state machines fail in normal operation.
        logging.getLogger("moto").setLevel(logging.CRITICAL)
        try:
            self._server = make_server(
                "127.0.0.1",
                self._requested_port,
                _Application(self._hold_s),
                threaded=True,
                request_handler=_Handler,
            )
        except (OSError, SystemExit) as exc:  # werkzeug exits when the port is taken
            raise LocalStepFunctionsError(
                f"cannot listen on port {self._requested_port} of 127.0.0.1: {exc}. "
                "Choose another --port; 0 takes a free one."
            ) from None
        self._server.daemon_threads = True  # open polls must not delay the exit of the process
        threading.Thread(
            target=self._server.serve_forever, name="stepfunctions", daemon=True
        ).start()
        return self

    def stop(self) -> None:
        """Stop listening; open polls end with the process."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
