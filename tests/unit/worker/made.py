"""Requests of Celery's, as a worker makes them of messages."""

from __future__ import annotations

import json
from types import SimpleNamespace

from celery.worker.request import Request

TASKS = {"jobs.limited", "jobs.plain"}


def claim_id(number: int) -> str:
    return f"{number:024x}"


def request(app, task: str, task_id: object, **headers) -> Request:
    headers = {"id": task_id, "task": task, "retries": 0, **headers}
    body = json.dumps([[{}], {}, {}])
    message = SimpleNamespace(
        headers=headers,
        body=body,
        payload=([{}], {}, {}),
        delivery_info={},
        properties={},
        content_type="application/json",
        content_encoding="utf-8",
        ack_log_error=lambda *a, **k: None,
        reject_log_error=lambda *a, **k: None,
    )
    return Request(message, app=app, hostname="w@host", task=app.tasks[task], headers=headers)


def job(app, number: int, task: str = "jobs.limited") -> Request:
    return request(app, task, f"bridge-{claim_id(number)}-1")
