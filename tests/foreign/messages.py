"""Random messages that other programs might send, from almost valid to no message at all."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import random
import uuid
import zlib
from typing import Any

CLAIM = "0123456789abcdef01234567"
TASKS = ("shop.mail", "shop.bound", "shop.one", "shop.late")
# An activity's task gets no id of a job: the fence would judge it. See MessageFuzzer._id.
FREE_TASKS = (*TASKS, "shop.work")
JOB_LIKE = (
    f"bridge-{CLAIM}-1",
    f"bridge-{CLAIM}-0",
    f"bridge-{CLAIM}-" + "9" * 20,
    f"bridge-{CLAIM}-" + "9" * 5_000,
    f"bridge-{CLAIM}-1\n",
    f"bridge-{CLAIM}-",
    "bridge-",
)
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    7,
    -1,
    1e308,
    10**30,
    "",
    "x",
    "\x00",
    "é💥",
    "\ud800",
    "a" * 3_000,
    [],
    [1],
    ["id"],
    {},
    {"id": 1},
    {"__type__": "uuid", "__value__": {"hex": CLAIM}},
    {"__type__": "datetime", "__value__": "no date"},
)
HEADERS = (
    "lang",
    "root_id",
    "parent_id",
    "group",
    "group_index",
    "meth",
    "shadow",
    "eta",
    "expires",
    "retries",
    "timelimit",
    "argsrepr",
    "kwargsrepr",
    "origin",
    "ignore_result",
    "stamped_headers",
    "stamps",
    "replaced_task_nesting",
    "compression",
    "delivery_info",
    "unknown",
)


class MessageFuzzer:
    """Makes messages from a seed, as text in a Redis list."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self._number = 0

    def message(self) -> str:
        """Make the next message."""
        self._number += 1
        return json.dumps(self._raw())

    def _raw(self) -> dict[str, Any]:
        rng, tag = self.rng, f"tag-{self._number}"
        headers: Any = {}
        kind = rng.random()
        if kind < 0.65:
            headers, body = self._headers(), self._body_2()
        elif kind < 0.85:
            headers, body = rng.choice([None, [], {}, 0, "", {"x": 1}]), self._body_1()
        else:
            headers = rng.choice([None, [], {}, {"x": 1}, {"id": self._id()}, self._headers()])
            body = self._junk()
        content_type, encoding, data = self._written(body, headers)
        body_encoding = rng.choices(
            ["base64", None, "utf-8", "UTF-8", "rot13", 7], [90, 3, 3, 1, 1, 1]
        )[0]
        raw: dict[str, Any] = {
            "body": base64.b64encode(data).decode()
            if body_encoding == "base64"
            else data.decode("latin-1"),
            "content-type": content_type,
            "content-encoding": encoding,
            "headers": headers,
            "properties": {
                "correlation_id": self._odd(0.1, "c"),
                "reply_to": self._odd(0.1, "r"),
                "delivery_mode": 2,
                "body_encoding": body_encoding,
                "priority": self._odd(0.1, rng.randrange(10)),
                "delivery_tag": tag,
                "delivery_info": {"exchange": "", "routing_key": "shop"},
            },
        }
        if rng.random() < 0.02:
            raw["body"] = self._odd(1.0, None)
        for name in ("headers", "content-type", "content-encoding", "body"):
            if rng.random() < 0.01:
                del raw[name]
        if rng.random() < 0.01:
            raw["properties"]["delivery_info"] = rng.choice([None, {}, [], {"exchange": None}])
        return raw

    def _odd(self, chance: float, right: Any) -> Any:
        return copy.deepcopy(self.rng.choice(ODD)) if self.rng.random() < chance else right

    def _id(self, task: object = None) -> Any:
        rng = self.rng
        if rng.random() < 0.15 and task != "shop.work":
            return rng.choice(JOB_LIKE)
        return self._odd(0.25, str(uuid.UUID(int=rng.getrandbits(128))))

    def _task(self) -> Any:
        return self._odd(0.05, self.rng.choice([*FREE_TASKS, "shop.gone"]))

    def _headers(self) -> dict[str, Any]:
        rng = self.rng
        task = self._task()
        headers = {
            "lang": "py",
            "task": task,
            "id": self._id(task),
            "retries": 0,
            "eta": None,
            "expires": None,
            "timelimit": [None, None],
            "argsrepr": "()",
        }
        for name in HEADERS:
            if rng.random() < 0.03:
                headers[name] = self._odd(1.0, None)
        if rng.random() < 0.03:
            headers["expires"] = rng.choice(["2001-01-01T00:00:00", "2999-01-01T00:00:00+00:00"])
        if rng.random() < 0.03:
            headers["eta"] = rng.choice(
                ["2001-01-01T00:00:00", "2999-01-01T00:00:00", "no date", "0001-01-01T00:00:00"]
            )
        for name in ("id", "task"):
            if rng.random() < 0.03:
                del headers[name]
        return headers

    def _args(self) -> Any:
        rng = self.rng
        if rng.random() < 0.03:
            return self._odd(1.0, None)
        args: list[Any] = [self._number]
        if rng.random() < 0.3:
            args.append(self._odd(0.5, "text"))
        if rng.random() < 0.01:
            deep: list[Any] = []
            for _ in range(rng.choice([50, 300])):
                deep = [deep]
            args.append(deep)
        return args

    def _kwargs(self) -> Any:
        if self.rng.random() < 0.03:
            return self._odd(1.0, None)
        return {"key": self._odd(0.2, 1)} if self.rng.random() < 0.2 else {}

    def _body_2(self) -> Any:
        embed: Any = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        body: list[Any] = [self._args(), self._kwargs(), embed]
        if self.rng.random() < 0.03:
            del body[self.rng.randrange(3)]
        return body

    def _body_1(self) -> dict[str, Any]:
        rng = self.rng
        task = self._task()
        body = {
            "id": self._id(task),
            "task": task,
            "args": self._args(),
            "kwargs": self._kwargs(),
            "retries": self._odd(0.05, 0),
            "eta": None,
            "expires": self._odd(0.03, None),
        }
        for name in list(body):
            if rng.random() < 0.03:
                del body[name]
        return body

    def _junk(self) -> Any:
        return self.rng.choice(
            [
                *ODD,
                "no JSON",
                [[1], {}],
                {"task": "shop.mail"},
                {"id": "x"},
                {"args": [1]},
                [[], {}, {}, {}],
                [[1], {}, None],
                {"task": ["shop.mail"], "id": "t"},
            ]
        )

    def _written(self, body: Any, headers: Any) -> tuple[Any, Any, bytes]:
        rng = self.rng
        body, data = copy.deepcopy(body), json.dumps(body).encode()
        content_type: Any = "application/json"
        kind = rng.random()
        if kind < 0.08:
            if isinstance(body, dict) and rng.random() < 0.3:
                body["id"] = rng.choice([uuid.UUID(int=self._number), b"bytes", ("t", 1), 7])
            content_type, data = "application/x-python-serialize", pickle.dumps(body, 2)
        elif kind < 0.14:
            content_type = rng.choice(
                [
                    "application/x-yaml",
                    "application/x-msgpack",
                    "text/plain",
                    "application/data",
                    "nonsense",
                    "",
                    None,
                ]
            )
        elif kind < 0.17:
            data = data[: len(data) // 2]
        elif kind < 0.19:
            data = rng.randbytes(20)
        elif kind < 0.22 and isinstance(headers, dict):
            headers["compression"] = rng.choice(["application/x-gzip", "zlib", "nonsense"])
            if rng.random() < 0.7:
                data = zlib.compress(data)
        encoding = rng.choices(
            ["utf-8", "binary", "ascii", "nonsense", None, ""], [90, 3, 3, 1, 2, 1]
        )[0]
        return content_type, encoding, data


FATAL = (
    *("no JSON", "", "[]", "7", "null", '"text"', "{}", '{"headers": null}', "[" * 100_000),
    *('{"properties": {}}', '{"properties": null, "headers": {}}', '{"properties": []}'),
    *(
        json.dumps(
            {
                "body": base64.b64encode(b"[[1], {}, {}]").decode(),
                "content-type": "application/json",
                "content-encoding": "utf-8",
                "headers": {"id": "t", "task": "shop.mail", **headers},
                "properties": {
                    "delivery_tag": "t",
                    "body_encoding": "base64",
                    "delivery_info": {"exchange": "", "routing_key": "shop"},
                    **properties,
                },
            }
        )
        for headers, properties in [
            ({"id": []}, {}),
            ({"id": {}}, {}),
            ({"task": []}, {}),
            ({"eta": 7}, {}),
            ({}, {"delivery_tag": None}),
            ({}, {"delivery_tag": []}),
            ({}, {"delivery_info": 7}),
            ({}, {"delivery_info": {}}),
            ({}, {"body_encoding": "rot13"}),
            ({}, {"body_encoding": 7}),
            ({"compression": 7}, {}),
            ({"timelimit": 7}, {}),
            ({"expires": []}, {}),
            ({"id": f"bridge-{CLAIM}-1", "task": "shop.work"}, {"delivery_tag": []}),
            ({"id": f"bridge-{CLAIM}-1", "task": "shop.work"}, {"delivery_info": {}}),
        ]
    ),
)
"""Messages most of which end a Celery worker, or its connection."""
