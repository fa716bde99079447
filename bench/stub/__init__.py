"""A stand-in for Step Functions that hands out activity tasks at the least possible cost.

It runs as a process of its own and has no state machines. It answers GetActivityTask (held for up
to 60 s), SendTaskSuccess, SendTaskFailure and SendTaskHeartbeat of the AWS JSON 1.0 protocol, and
the calls that a worker makes at its start. It does not check signatures. Its own CPU must stay far
below that of the contestants, so it searches requests for the few bytes that it needs, and decodes
outputs only when the figures are asked for.

- ``loop`` waits for sockets and timers.
- ``connection`` reads HTTP requests and answers the four calls above.
- ``rare_calls`` answers all other requests.
- ``tasks`` holds the tasks, and the connections that wait for something.
- ``answers`` makes HTTP responses.

Control requests (JSON over plain HTTP):
    POST /schedule {activity, count, rate, work_ms}
                                Schedule tasks; ``rate`` in tasks/s, 0: all at once; a ``work_ms``
                                above 0 is put into their input.
    POST /spread {on}           Hold each connection's first poll for 0 to 60 s, evenly spread, as
                                if the poller had run for long.
    GET  /wait/N                Answer once N tasks have been reported.
    GET  /wait-heartbeats/N     Answer once N heartbeats have come.
    GET  /counts                See ``Tasks.counts``.
    GET  /figures/N             For each task from the Nth on: [scheduled, handed out, reported,
                                begun, ended], as Unix seconds or null. The last two are what the
                                task's output says.

Sources: botocore stepfunctions 2016-11-23; AWS documents that a poll is held for 60 s.
"""

from __future__ import annotations

ARN = "arn:aws:states:us-east-1:123456789012:activity:"
# Tokens are as long as AWS's; the number of the task ends them.
MARK = b"bench"
TOKEN = b"AQCoAAAAKgAAAAMAAAAAAAAAA" + b"Zm9ybWF0IG9mIGEgcmVhbCB0b2tlbg" * 20 + MARK
DIGITS = 12
TOKEN_BYTES = len(TOKEN) + DIGITS


def token(number: int) -> str:
    """The token of a task."""
    return TOKEN.decode() + f"{number:0{DIGITS}}"
