"""The Lambda handler with a real Valkey, a real broker and the local Step Functions.

Two proxies stand in between, one before the store and one before the broker, so that each can be
away alone.
"""

from __future__ import annotations

import os
import uuid

import pytest
from celery import Celery

import bridge
from bridge.aws_lambda import Function
from bridge.local.stepfunctions import LocalStepFunctions
from bridge.store import JobStore
from tests.faults.proxy import Proxy
from tests.fixtures_local import REGION, client_of
from tests.integration.aws_lambda.scene import Scene, work


@pytest.fixture(scope="module")
def stepfunctions():
    """With short polls; those of the session's are held for 20 s."""
    with LocalStepFunctions(hold_s=2) as server:
        yield server


@pytest.fixture
def scene(stepfunctions, valkey, monkeypatch):
    name = f"a{uuid.uuid4().hex[:10]}"
    for variable in list(os.environ):
        if variable.startswith(("BRIDGE_", "CELERY_", "AWS_")):
            monkeypatch.delenv(variable)
    with Proxy("127.0.0.1", valkey.port) as store, Proxy("127.0.0.1", valkey.port) as broker:
        for variable, value in {
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local-secret",
            "AWS_ENDPOINT_URL_SFN": stepfunctions.url,
            "AWS_REGION": REGION,
            "BRIDGE_LEASE_S": "3",
            "BRIDGE_TICK_S": "0.2",
            "BRIDGE_STORE_PREFIX": name,
            "BRIDGE_STORE_URL": f"{store.url('redis')}/0",
        }.items():
            monkeypatch.setenv(variable, value)
        app = Celery("scene", broker=f"{broker.url('redis')}/0", set_as_current=False)
        app.conf.broker_transport_options = {"socket_timeout": 2, "socket_connect_timeout": 2}
        app.conf.task_ignore_result = True
        app.conf.task_default_queue = f"q-{name}"
        with monkeypatch.context() as alone:
            # Or Celery gives it the shared tasks that other tests of this process have imported.
            alone.setattr("celery._state._on_app_finalizers", set())
            bridge.install(app)
            app.finalize()
        app.task(work, name="work", activity=name, shared=False)
        sfn = client_of(stepfunctions.url)
        arn = sfn.create_activity(name=name)["activityArn"]
        settings = app.bridge.settings.model_copy(update={"store_url": valkey.url})
        # The worker is alive however slow this machine is; only the function's leases are short.
        jobs = JobStore(settings.model_copy(update={"lease_s": 60}))
        made = Scene(
            app=app,
            function=Function(app),
            sfn=sfn,
            settings=settings,
            activity=name,
            arn=arn,
            queue=f"q-{name}",
            store=store,
            broker=broker,
            valkey_url=valkey.url,
            broker_url=app.conf.broker_url,
            jobs=jobs,
        )
        yield made
        jobs.close()
        app.close()
