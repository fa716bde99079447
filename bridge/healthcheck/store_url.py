"""Find the claim store without loading the app."""

from __future__ import annotations

import os

from bridge.addresses.broker import Broker, store_url_of, store_url_without_kombu
from bridge.errors import SettingsError
from bridge.healthcheck.celery_process import CeleryProcess
from bridge.healthcheck.verdict import Unknown
from bridge.settings import DEFAULT_BROKER_URL


def store_of(process: CeleryProcess) -> str:
    """The claim store's URL, from the broker that environment and command line name.

    Raises:
        Unknown: Only the app knows its broker, and the app is not loaded here.
    """
    environ = os.environ.get
    broker = process.option("-b", "--broker") or environ("CELERY_BROKER_URL", "")
    if not broker and process.option("-A", "--app") in ("", "bridge", "bridge.celery"):
        broker = DEFAULT_BROKER_URL
    read = environ("CELERY_BROKER_READ_URL") or broker
    write = environ("CELERY_BROKER_WRITE_URL") or broker
    try:
        if not (read and write):
            raise SettingsError("Neither BRIDGE_STORE_URL nor CELERY_BROKER_URL is set.")
        if read == write and (url := store_url_without_kombu(read)):
            return url
        from kombu import Connection

        return store_url_of(Broker(read, Connection), Broker(write, Connection))
    except SettingsError as exc:
        raise Unknown(f"{exc} The app is not loaded here: set BRIDGE_STORE_URL.") from None
