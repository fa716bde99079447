"""Activities of Step Functions without state machines, as cheap as Python makes them; a process.

It answers GetActivityTask (held for up to 60 s), SendTaskSuccess, SendTaskFailure and
SendTaskHeartbeat of the AWS JSON 1.0 protocol, and what a worker asks at its start. Signatures are
not looked at. What it serves must not be drowned by what it costs itself, so requests are searched
for the few bytes that matter, and outputs are decoded only when the figures are asked for.

Control (JSON, plain HTTP):
    POST /schedule {activity, count, rate, work_ms}
                                             tasks to hand out; rate in tasks/s, 0: all at once;
                                             work_ms above 0 is put into their input
    POST /spread {on}                        first polls are held for 0 to 60 s, evenly: as in a
                                             poller that has run for long
    GET  /wait/N                             answers once N tasks have been reported
    GET  /wait-heartbeats/N                  answers once N heartbeats have come
    GET  /counts                             see ``Stub.counts``
    GET  /figures/N                          of each task from the Nth on: [scheduled, handed out,
                                             reported, begun, ended], Unix seconds or null; the last
                                             two are what the output of the task says

Sources: botocore stepfunctions 2016-11-23; the 60 s are AWS's documented hold.
"""

from __future__ import annotations

ARN = "arn:aws:states:us-east-1:123456789012:activity:"
# As long as AWS's own tokens are; the number of the task ends it.
MARK = b"bench"
TOKEN = b"AQCoAAAAKgAAAAMAAAAAAAAAA" + b"Zm9ybWF0IG9mIGEgcmVhbCB0b2tlbg" * 20 + MARK
DIGITS = 12
TOKEN_BYTES = len(TOKEN) + DIGITS
INPUT_BYTES = len('{"n": ""}') + DIGITS


def token(number: int) -> str:
    """The token of a task."""
    return TOKEN.decode() + f"{number:0{DIGITS}}"
