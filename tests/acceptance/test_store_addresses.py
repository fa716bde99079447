"""Deployments whose Redis has an address other than a host and a port."""

from __future__ import annotations

import json

import pytest

from bridge.local.valkey import LocalValkey
from tests.tls import Authority, TlsProxy
from tests.waiting import wait_until

pytestmark = pytest.mark.acceptance


def assert_works(deployment, *, store: str) -> None:
    """Assert that an execution succeeds, and that the commands answer."""
    deployment.create_activities()
    deployment.worker(concurrency=2)
    deployment.poller()
    assert deployment.outcome("echo", id="1") == ("SUCCEEDED", {"id": "1"}, "")
    wait_until(lambda: deployment.status()["totals"]["in_flight"] == 0)
    findings = {
        found["check"]: found for found in json.loads(deployment.run("doctor", "--json").stdout)
    }
    assert findings["claim store"]["detail"].startswith(store)
    assert findings["claim store"]["level"] == "ok"
    assert findings["broker"]["level"] == "ok"


def test_a_deployment_works_over_a_unix_socket(deploy, tmp_path):
    path = tmp_path / "r.sock"
    store = f"unix://{path}?db=1"
    deployment = deploy(
        valkey=LocalValkey(options=("--unixsocket", str(path))).start(),
        JOBS_ONLY="echo",
        BRIDGE_STORE_URL=store,
        CELERY_BROKER_URL=f"redis+socket://{path}",
    )
    assert_works(deployment, store=store)


def test_a_deployment_works_over_tls(deploy, tmp_path):
    authority = Authority(tmp_path)
    valkey = LocalValkey().start()
    with TlsProxy(valkey.port, authority) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}/0"
        said = f"ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs={authority.ca}"
        deployment = deploy(valkey=valkey, CELERY_BROKER_URL=f"{url}?{said}", JOBS_ONLY="echo")
        assert_works(deployment, store=url)
        deployment.stop()


APP = """
from celery import Celery
import bridge
app = Celery("app")
app.conf.update({conf})
bridge.install(app)
"""


def app(deploy, valkey, **conf):
    deployment = deploy(valkey=valkey, PYTHONPATH=".")
    del deployment.env["CELERY_BROKER_URL"]
    (deployment.folder / "shop.py").write_text(APP.format(conf=conf))
    return deployment


def test_a_list_of_servers_is_refused_in_one_sentence(deploy):
    urls = ["redis://:s3cret@h1:6379/0", "redis://:s3cret@h2:6379/0"]
    deployment = app(deploy, LocalValkey(), broker_url=urls)
    for command in ("poll", "status"):
        done = deployment.run(command, app="shop")
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Set BRIDGE_STORE_URL=" in done.stderr
        assert "Traceback" not in done.stderr
        assert "s3cret" not in done.stdout + done.stderr


def test_settings_show_no_secret_at_any_depth(deploy):
    options = {"master_name": "m", "sentinel_kwargs": {"username": "u", "password": "s3cret"}}
    url = "sentinel://:s3cret@h1;sentinel://:s3cret@h2"
    deployment = app(deploy, LocalValkey(), broker_url=url, broker_transport_options=options)
    for arguments in ([], ["--json"]):
        done = deployment.run("settings", *arguments, app="shop")
        assert done.returncode == 0, done.stderr
        assert "s3cret" not in done.stdout + done.stderr
    shown = json.loads(done.stdout)
    assert shown["celery"]["broker_transport_options"] == {
        "master_name": "m",
        "sentinel_kwargs": {"username": "u", "password": "***"},
    }
    assert shown["bridge"]["BRIDGE_STORE_URL"] == (
        "sentinel://:***@h1:26379;h2:26379/0?master_name=m"
        "&sentinel_username=u&sentinel_password=***"
    )
