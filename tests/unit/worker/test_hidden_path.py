"""The page in ``bridge/worker/__init__.py`` names each place where Celery calls the bridge."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bridge.worker
from bridge import versions

pytestmark = pytest.mark.skipif(
    any(versions.all_off()), reason="optional parts are off with these versions"
)

ROOT = Path(bridge.worker.__file__).parents[1]
PAGE = bridge.worker.__doc__ or ""

INSTALLED = """
import json, sys, weakref
from celery import Celery, signals
import bridge
from bridge.processes import passes
from bridge.worker.redis_transport import batch_acks, take_many

def is_ours(value):
    value = getattr(value, "__func__", value)
    return str(getattr(value, "__module__", "")).startswith("bridge.")

def live(entry):
    receiver = entry[1]
    return receiver() if isinstance(receiver, weakref.ref) else receiver

def file_of(value):
    return getattr(value, "__func__", value).__module__.removeprefix("bridge.").replace(".", "/")

app = bridge.install(Celery("shop", broker="redis://127.0.0.1:1/0", set_as_current=False))
app.conf.worker_hijack_root_logger = False

@app.task(name="plain", activity="plain")
def plain(event):
    return event

class Called(app.Task):
    def __call__(self, *args):
        return super().__call__(*args)

@app.task(name="called", activity="called", base=Called)
def called(event):
    return event

worker = app.WorkController(pool="threads", concurrency=1, hostname="w@host")
seen = {
    "steps": {s.__name__: file_of(s) for kind in app.steps.values() for s in kind if is_ours(s)},
    "signals": [
        (name, file_of(receiver))
        for name, signal in vars(signals).items() if hasattr(signal, "receivers")
        for receiver in map(live, signal.receivers or [])
        if is_ours(receiver)
    ],
    "consumer": sorted(
        name for name, value in vars(worker.consumer).items() if callable(value) and is_ours(value)
    ),
    "tasks": sorted({
        base.__name__
        for task in app.tasks.values() if not task.name.startswith("bridge.")
        for base in type(task).__mro__ if is_ours(base)
    }),
    "patched": {},
    "fronts": {},
}
for module in list(sys.modules.values()):
    if module.__name__.split(".")[0] in {"amqp", "billiard", "celery", "kombu", "redis", "vine"}:
        for owner in [module, *(each for each in vars(module).values() if isinstance(each, type))]:
            if getattr(owner, "__module__", module.__name__).startswith("bridge."):
                continue
            for name, value in vars(owner).items():
                if is_ours(value) and callable(value):
                    seen["patched"][f"{owner.__name__}.{name}"] = file_of(value)
from kombu.transport.redis import Transport
for front in (*Transport.Channel.__mro__, batch_acks.BatchingQoS, take_many.ManyTakingChannel):
    if is_ours(front) and "Channel" != front.__name__:
        seen["fronts"][front.__name__] = [
            name for name, value in vars(front).items()
            if callable(value) and any(hasattr(base, name) for base in front.__mro__[1:])
        ]
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def seen():
    """What Celery's and kombu's objects hold of the bridge after a real installation."""
    done = subprocess.run(
        [sys.executable, "-c", INSTALLED],
        env={**os.environ, "BRIDGE_STORE_URL": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def named(name: str) -> bool:
    return f"``{name}``" in PAGE


def section(name: str) -> str:
    """The paragraph or list entry of the page that names this."""
    (found,) = [each for each in re.split(r"\n(?=- )|\n\n", PAGE) if f"``{name}``" in each]
    return found


def is_in(file: str, text: str) -> bool:
    return f"``{file.removeprefix('worker/')}.py``" in text


def test_each_bootstep_is_named_with_its_file(seen):
    assert {"EquipTasks", "ServeActivities", "TakeMany"} <= seen["steps"].keys()
    for name, file in seen["steps"].items():
        assert is_in(file, section(name)), name


def test_each_signal_is_named_and_its_file(seen):
    assert {"task_failure", "import_modules"} <= {name for name, _ in seen["signals"]}
    for name, file in seen["signals"]:
        assert named(name), name
        assert is_in(file, PAGE), file


def test_each_method_of_the_consumer_that_is_replaced_is_named(seen):
    assert "_limit_task" in seen["consumer"]
    assert [name for name in seen["consumer"] if not named(name)] == []


def test_each_class_in_front_of_a_task_is_named(seen):
    assert seen["tasks"] == ["_ActivityTask", "_CalledActivityTask"]
    assert [name for name in seen["tasks"] if not named(name)] == []


def test_each_attribute_of_a_foreign_class_that_is_replaced_is_named(seen):
    assert seen["patched"] == dict.fromkeys(
        ("Transport.Channel", "SentinelTransport.Channel"), "worker/redis_transport/kombu_fixes"
    )
    assert [name for name in seen["patched"] if not named(name)] == []


def test_each_subclass_of_kombu_is_named_with_the_methods_that_it_replaces(seen):
    assert {"SharesClient", "BatchingQoS", "ManyTakingChannel"} <= seen["fronts"].keys()
    for name, methods in seen["fronts"].items():
        for method in methods:
            assert f"``{method}``" in section(name), f"{name}.{method}"


def test_each_optional_part_is_named():
    assert set(re.findall(r"\[([a-z ]+)\]", PAGE.replace("\n", " "))) == versions.PARTS.keys()


def test_each_file_that_is_named_exists():
    for file in re.findall(r"``([a-z_/]+\.py)``", PAGE):
        homes = [ROOT / file, ROOT / "worker" / file]
        assert any(home.exists() for home in homes) or file.startswith(("celery/", "kombu/")), file
