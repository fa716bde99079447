"""Step Functions on this machine: moto's interpreter, with the activity calls that it lacks.

moto (its engine is LocalStack's) runs the Amazon States Language; this module answers the four hot
calls of activities and mends what the engine does otherwise than AWS. moto is pinned to one
version, for the departures below reach into its engine:

1. ``GetActivityTask`` is answered: moto says NotImplemented. Long polls, first come first served,
   each token exactly once; one that a client abandoned swallows the next task, as at AWS.
2. ``SendTask*`` of activities: moto looks through every execution, drops ``cause``, and leaves the
   tokens of stopped executions open.
3. ``StateTaskActivity._eval_execution``: the engine's finds no activity, since moto hands its
   executions an empty store. Ours counts both clocks from ActivityStarted.
4. ``StateTaskActivity.from_state_props``: the engine adds a time-out of 60 s where a state has
   HeartbeatSeconds alone, and counts TimeoutSeconds from the state's entry.
5. ``Environment.set_*``: an execution, or a branch of it, that ends closes its tokens at once; one
   that was stopped in a Map stays stopped.
6. ``CreateActivity`` is idempotent at AWS; moto refuses the second call.
7. ``StartExecution`` makes up a name where none is given; moto takes "None" for all of them.

Still otherwise than at AWS: a heartbeat time-out is named States.Timeout, like every other; a wait
before a Retry is not cut short by StopExecution; there are no quotas.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Self

from bridge.errors import BridgeError

MOTO_VERSION = "5.2.5"
if version("moto") != MOTO_VERSION:
    raise ImportError(
        f"the local Step Functions mends moto {MOTO_VERSION} from inside and does not know moto "
        f"{version('moto')}. Install celery-stepfunctions[local], which pins it."
    )

from moto.core.config import default_user_config  # noqa: E402 (after the check of its version)
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from moto.stepfunctions.parser import api  # noqa: E402
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import (  # noqa: E402
    EvalTimeoutError,
    Timeout,
    TimeoutSeconds,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task_activitiy import (  # noqa: E402
    StateTaskActivity,
)
from moto.stepfunctions.parser.asl.eval.callback.callback import (  # noqa: E402
    CallbackOutcomeFailure,
    CallbackOutcomeFailureError,
    HeartbeatTimeoutError,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment  # noqa: E402
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails  # noqa: E402
from moto.stepfunctions.parser.asl.eval.program_state import (  # noqa: E402
    ProgramStopped,
    ProgramTimedOut,
)
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str  # noqa: E402
from moto.stepfunctions.parser.models import (  # noqa: E402
    StepFunctionsParserBackend,
    stepfunctions_parser_backends,
)
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402

HOLD_S = 60.0
MAX_POLLS_PER_ACTIVITY = 1_000
MAX_OUTPUT_BYTES = 262_144
CLOSED_TOKENS_KEPT = 100_000

_ACTIVITY_ARN = re.compile(r"arn:aws[a-z-]*:states:([a-z0-9-]+):(\d{12}):activity:(\S{1,80})")
_TOKEN = re.compile(r"[A-Za-z0-9+/=_-]{32,2048}")


class LocalStepFunctionsError(BridgeError):
    """The local server could not be started; says why."""


class _Refused(Exception):
    """An error answer of the API."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True, eq=False)
class _Task:
    """One activity task, from scheduled to closed."""

    token: str
    arn: str
    execution: str
    input: str = field(repr=False)
    env: Any = field(repr=False)
    changed: threading.Event = field(default_factory=threading.Event)
    worker_name: str | None = None
    started: datetime | None = None
    started_at: float = 0.0
    beaten_at: float = 0.0
    closed: bool = False
    ended: datetime | None = None
    output: str | None = None
    failure: tuple[str | None, str | None] | None = None


@dataclass(slots=True, eq=False)
class _Poll:
    worker_name: str | None
    answered: threading.Event = field(default_factory=threading.Event)
    task: _Task | None = None


class _Desk:
    """Where activity tasks meet polls, and tokens meet outcomes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[_Task]] = defaultdict(deque)
        self._polls: dict[str, deque[_Poll]] = defaultdict(deque)
        self._open: dict[str, _Task] = {}
        self._closed: OrderedDict[str, str] = OrderedDict()
        self.calls: dict[str, Counter[str]] = defaultdict(Counter)

    # The engine's side

    def schedule(self, task: _Task) -> None:
        with self._lock:
            self._open[task.token] = task
            polls = self._polls[task.arn]
            if polls:
                poll = polls.popleft()
                self._hand_out(task, poll.worker_name)
                poll.task = task
                poll.answered.set()
            else:
                self._waiting[task.arn].append(task)

    def close(self, task: _Task) -> bool:
        """Close a task that nobody has ended; False when its outcome came first."""
        with self._lock:
            if task.closed:
                return False
            self._close(task)
            return True

    def close_all_of(self, env: Any) -> None:
        """Close the tasks of an execution, or of a branch, that has ended."""
        with self._lock:
            for task in [task for task in self._open.values() if task.env is env]:
                self._close(task)

    # The workers' side

    def poll(self, arn: str, worker_name: str | None, hold_s: float) -> _Task | None:
        poll = _Poll(worker_name)
        with self._lock:
            waiting = self._waiting[arn]
            while waiting:
                task = waiting.popleft()
                if not task.closed:
                    self._hand_out(task, worker_name)
                    return task
            polls = self._polls[arn]
            if len(polls) >= MAX_POLLS_PER_ACTIVITY:
                raise _Refused("ActivityWorkerLimitExceeded", "too many pollers on one activity")
            polls.append(poll)
        poll.answered.wait(hold_s)
        with self._lock:
            if poll.task is None:
                polls.remove(poll)
            return poll.task

    def open_polls(self) -> dict[str, list[str | None]]:
        """ARN of an activity → worker names of the polls that are open on it."""
        with self._lock:
            return {
                arn: [p.worker_name for p in polls] for arn, polls in self._polls.items() if polls
            }

    def end(self, token: str, call: str, apply: Callable[[_Task], None]) -> bool:
        """Apply a call to an open task; False when the token is none of an activity."""
        with self._lock:
            task = self._open.get(token)
            if task is None:
                execution = self._closed.get(token)
                if execution is None:
                    return False
                self.calls[execution]["late"] += 1
                raise _Refused("TaskTimedOut", "Task Timed Out: 'Provided task does not exist'")
            self.calls[task.execution][call] += 1
            apply(task)
            if call != "heartbeats":
                task.ended = datetime.now(UTC)
                self._close(task)
            return True

    def _hand_out(self, task: _Task, worker_name: str | None) -> None:
        task.worker_name, task.started = worker_name, datetime.now(UTC)
        task.started_at = task.beaten_at = time.monotonic()
        self.calls[task.execution]["claims"] += 1
        task.changed.set()

    def _close(self, task: _Task) -> None:
        task.closed = True
        del self._open[task.token]
        self._closed[task.token] = task.execution
        if len(self._closed) > CLOSED_TOKENS_KEPT:
            self._closed.popitem(last=False)
        task.changed.set()


_desk = _Desk()


# The engine, mended


def _from_state_props(self: Any, state_props: Any) -> None:
    _engine_from_state_props(self, state_props)
    self.activity_timeout = state_props.get(Timeout)
    # The engine's own clock starts too early: ours, in _eval_execution, is the one that counts.
    self.timeout = TimeoutSeconds(timeout_seconds=TimeoutSeconds.DEFAULT_TIMEOUT_SECONDS)


def _eval_execution(self: Any, env: Any) -> None:
    """Schedule the activity task and wait for its outcome, a time-out, or the execution's end."""
    task_input = to_json_str(self._eval_parameters(env=env))
    timeout_s = _seconds(self.activity_timeout, env)
    heartbeat_s = _seconds(self.heartbeat, env)
    arn = self.resource.resource_arn
    if not _exists(arn):
        raise RuntimeError(f"The activity {arn} does not exist.")
    scheduled = api.ActivityScheduledEventDetails(
        resource=arn, input=task_input,
        inputDetails=api.HistoryEventExecutionDataDetails(truncated=False))  # fmt: skip
    if timeout_s is not None:
        scheduled["timeoutInSeconds"] = timeout_s
    if heartbeat_s is not None:
        scheduled["heartbeatInSeconds"] = heartbeat_s
    _note(env, "ActivityScheduled", activityScheduledEventDetails=scheduled)
    context = env.states.context_object
    task = _Task(
        token=context.update_task_token() + context.update_task_token(), arn=arn, env=env,
        execution=context.context_object_data["Execution"]["Id"], input=task_input)  # fmt: skip
    _desk.schedule(task)
    if not env.is_running():  # stopped just before: close_all_of came too early for this task
        _desk.close(task)
    try:
        _wait_for_end(task, env, timeout_s, heartbeat_s)
    finally:
        _desk.close(task)
    if task.failure is not None:
        error, cause = task.failure
        raise CallbackOutcomeFailureError(CallbackOutcomeFailure(task.token, error, cause))
    if task.output is None:
        return  # the execution, or its branch, was ended from outside
    env.stack.append(json.loads(task.output))
    _note(
        env, "ActivitySucceeded", task.ended,
        activitySucceededEventDetails=api.ActivitySucceededEventDetails(
            output=task.output,
            outputDetails=api.HistoryEventExecutionDataDetails(truncated=False)))  # fmt: skip


def _wait_for_end(
    task: _Task, env: Any, timeout_s: float | None, heartbeat_s: float | None
) -> None:
    noted = False
    while True:
        wait_s = None
        if task.started is not None:
            if not noted:
                started = api.ActivityStartedEventDetails()
                if task.worker_name is not None:
                    started["workerName"] = task.worker_name
                _note(env, "ActivityStarted", task.started, activityStartedEventDetails=started)
                noted = True
            now = time.monotonic()
            deadlines = []
            if timeout_s is not None:
                deadlines.append((task.started_at + timeout_s, EvalTimeoutError))
            if heartbeat_s is not None:
                deadlines.append((task.beaten_at + heartbeat_s, HeartbeatTimeoutError))
            for deadline, error in deadlines:
                if now >= deadline and _desk.close(task):
                    raise error
            wait_s = min((deadline - now for deadline, _ in deadlines), default=None)
        if task.closed:
            return
        task.changed.wait(None if wait_s is None else max(wait_s, 0.0))
        task.changed.clear()


def _seconds(component: Any, env: Any) -> float | None:
    if component is None:
        return None
    component.eval(env=env)
    return float(env.stack.pop())


def _note(env: Any, event: str, moment: datetime | None = None, **details: Any) -> None:
    env.event_manager.add_event(
        context=env.event_history_context, event_type=api.HistoryEventType(event),
        event_details=EventDetails(**details), timestamp=moment)  # fmt: skip


def _closing(method: Callable[..., None]) -> Callable[..., None]:
    def ended(self: Any, *args: Any, **kwargs: Any) -> None:
        method(self, *args, **kwargs)
        _desk.close_all_of(self)

    return ended


def _set_error(self: Any, error: Any) -> None:
    # What a stop breaks inside a Map must not make a failure of it.
    if not isinstance(self.program_state(), ProgramStopped | ProgramTimedOut):
        _engine_set_error(self, error)


def _create_activity(
    self: Any, name: str, tags: Any = None, encryption_configuration: Any = None
) -> Any:
    for activity in list(self.activities.values()):
        if activity.name == name and activity.encryption_configuration == encryption_configuration:
            return activity
    return _engine_create_activity(self, name, tags, encryption_configuration)


def _start_execution(
    self: Any, state_machine_arn: str, name: str | None = None, *args: Any, **kwargs: Any
) -> Any:
    name = name or str(uuid.uuid4())
    return _engine_start_execution(self, state_machine_arn, name, *args, **kwargs)


_engine_start_execution = StepFunctionsParserBackend.start_execution
_engine_set_error = Environment.set_error
_engine_from_state_props = StateTaskActivity.from_state_props
_engine_create_activity = StepFunctionsParserBackend.create_activity
StateTaskActivity.from_state_props = _from_state_props
StateTaskActivity._eval_execution = _eval_execution
StepFunctionsParserBackend.create_activity = _create_activity
StepFunctionsParserBackend.start_execution = _start_execution
Environment.set_error = _set_error
for _name in ("set_ended", "set_error", "set_timed_out", "set_stop"):
    setattr(Environment, _name, _closing(getattr(Environment, _name)))


def _exists(arn: str) -> bool:
    match = _ACTIVITY_ARN.fullmatch(arn)
    if match is None:
        raise _Refused("InvalidArn", f"Invalid Arn: '{arn}'")
    region, account, _ = match.groups()
    return arn in stepfunctions_parser_backends[account][region].activities


# The hot calls


class _HotCalls:
    """WSGI: answers the four hot calls, and hands everything else to moto."""

    def __init__(self, hold_s: float) -> None:
        self._hold_s = hold_s
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._calls: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
            "GetActivityTask": self._get_activity_task,
            "SendTaskHeartbeat": self._send_task_heartbeat,
            "SendTaskSuccess": self._send_task_success,
            "SendTaskFailure": self._send_task_failure,
        }

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/_local/calls":
            return _answer(start_response, 200, {k: dict(v) for k, v in _desk.calls.items()})
        if environ["PATH_INFO"] == "/_local/polls":
            return _answer(start_response, 200, _desk.open_polls())
        name = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        call = self._calls.get(name)
        if call is None:
            return self._to_moto(environ, start_response)
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        try:
            answer = call(json.loads(body))
        except _Refused as exc:
            return _answer(start_response, 400, {"__type": exc.code, "message": str(exc)})
        except (ValueError, TypeError) as exc:
            error = {"__type": "SerializationException", "message": str(exc)}
            return _answer(start_response, 400, error)
        if answer is None:
            error = {"__type": "InvalidToken", "message": "Invalid Token: 'Invalid token'"}
            return _answer(start_response, 400, error)
        return _answer(start_response, 200, answer)

    def _to_moto(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answer: Iterable[bytes] = self._moto(environ, start_response)
        return answer

    def _get_activity_task(self, fields: dict[str, Any]) -> dict[str, Any]:
        arn = _text(fields, "activityArn", 1, 256)
        worker_name = _text(fields, "workerName", 1, 80, optional=True)
        if not _exists(arn):
            raise _Refused("ActivityDoesNotExist", f"Activity Does Not Exist: '{arn}'")
        task = _desk.poll(arn, worker_name, self._hold_s)
        return {} if task is None else {"taskToken": task.token, "input": task.input}

    def _send_task_heartbeat(self, fields: dict[str, Any]) -> dict[str, Any] | None:
        def beat(task: _Task) -> None:
            task.beaten_at = time.monotonic()

        return self._end(fields, "heartbeats", beat)

    def _send_task_success(self, fields: dict[str, Any]) -> dict[str, Any] | None:
        output = fields.get("output")
        if not isinstance(output, str):
            raise _Refused("ValidationException", "Value null at 'output' must not be null")
        if len(output.encode()) > MAX_OUTPUT_BYTES:
            raise _Refused("ValidationException", "Value at 'output' is over 262144 bytes")
        try:
            json.loads(output, parse_constant=_no_json)
        except ValueError as exc:
            raise _Refused("InvalidOutput", f"Invalid Output: '{exc}'") from None

        def succeed(task: _Task) -> None:
            task.output = output

        return self._end(fields, "successes", succeed)

    def _send_task_failure(self, fields: dict[str, Any]) -> dict[str, Any] | None:
        error = _text(fields, "error", 0, 256, optional=True)
        cause = _text(fields, "cause", 0, 32_768, optional=True)

        def fail(task: _Task) -> None:
            task.failure = (error, cause)

        return self._end(fields, "failures", fail)

    @staticmethod
    def _end(
        fields: dict[str, Any], call: str, apply: Callable[[_Task], None]
    ) -> dict[str, Any] | None:
        token = _text(fields, "taskToken", 1, 2048)
        if _desk.end(token, call, apply):
            return {}
        if _TOKEN.fullmatch(token):
            raise _Refused(
                "TaskDoesNotExist", "Task does not exist: 'Provided task does not exist'"
            )
        return None


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _text(
    fields: dict[str, Any], name: str, least: int, most: int, *, optional: bool = False
) -> Any:
    value = fields.get(name)
    if value is None and optional:
        return None
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise _Refused(
            "ValidationException",
            f"1 validation error detected: Value at '{name}' failed to satisfy constraint: "
            f"Member must have length between {least} and {most}",
        )
    return value


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
    protocol_version = "HTTP/1.1"  # keep-alive, as AWS has it

    def log_request(self, *_: Any) -> None:
        """No line for each request."""


class LocalStepFunctions:
    """A Step Functions endpoint on 127.0.0.1; a context manager.

    Args:
        port: 0 takes a free one.
        hold_s: How long a poll without a task is held; 60 s at AWS.
    """

    def __init__(self, *, port: int = 0, hold_s: float = HOLD_S) -> None:
        self._wanted_port = port
        self._hold_s = hold_s
        self._server: Any = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_port)

    @property
    def url(self) -> str:
        """What ``AWS_ENDPOINT_URL_SFN`` has to be."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Listen; returns at once.

        Raises:
            LocalStepFunctionsError: The port is taken.
        """
        default_user_config["stepfunctions"] = {"execute_state_machine": True}
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        # A state that fails is an error to the engine, and everyday life to a state machine.
        logging.getLogger("moto").setLevel(logging.CRITICAL)
        try:
            self._server = make_server(
                "127.0.0.1", self._wanted_port, _HotCalls(self._hold_s), threaded=True,
                request_handler=_Handler)  # fmt: skip
        except (OSError, SystemExit) as exc:  # werkzeug exits when the port is taken
            raise LocalStepFunctionsError(
                f"port {self._wanted_port} of 127.0.0.1 cannot be listened on: {exc}. "
                "Choose another --port; 0 takes a free one."
            ) from None
        self._server.daemon_threads = True  # open polls must not hold up the exit
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
