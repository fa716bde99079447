"""Answer what is asked rarely: calls that manage activities, and the bench's control requests."""

from __future__ import annotations

import json
from typing import Any

from bench.stub import ARN
from bench.stub.answers import EMPTY, answer, refusal
from bench.stub.tasks import Client, Tasks

CREATED = 1.7e9
"""Creation date of every activity."""


def answer_management(tasks: Tasks, call: str, body: bytes) -> bytes:
    """The response to CreateActivity, ListActivities, DescribeActivity and the like."""
    tasks.others[call] += 1
    fields = json.loads(body or b"{}")
    if call == "ListActivities":
        return answer({"activities": [_activity(known.decode()) for known in tasks.waiting]})
    name = fields.get("name") or fields.get("activityArn", "").rpartition(":")[2]
    if call == "CreateActivity":
        tasks.create(name.encode())
    elif name.encode() not in tasks.waiting:
        return refusal("ActivityDoesNotExist")
    return answer(_activity(name))


def _activity(name: str) -> dict[str, Any]:
    return {"activityArn": ARN + name, "name": name, "creationDate": CREATED}


def answer_control(tasks: Tasks, client: Client, data: bytes, head: int) -> None:
    """Answer a control request, at once or when what it waits for has come."""
    method, path, _ = data[: data.find(b"\r")].decode().split(" ", 2)
    _, command, *args = path.split("/")
    fields = json.loads(data[head + 4 :]) if method == "POST" else {}
    match command:
        case "schedule":
            first = tasks.schedule(
                fields["activity"].encode(),
                count=fields["count"],
                rate=fields["rate"],
                work_ms=fields.get("work_ms", 0),
            )
            client.write(answer({"first": first}))
        case "spread":
            tasks.spread = fields["on"]
            client.write(EMPTY)
        case "counts":
            client.write(answer(tasks.counts()))
        case "figures":
            client.write(answer(tasks.figures(int(args[0]))))
        case "wait":
            tasks.wait_for_reports(int(args[0]), client)
        case "wait-heartbeats":
            tasks.wait_for_heartbeats(int(args[0]), client)
        case _:
            client.write(answer({}, b"404 Not Found"))
