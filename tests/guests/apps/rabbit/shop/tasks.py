"""Tasks of a shop; one of them kills its worker's child in its first run, and runs again."""

import os

from celery import shared_task
from celery.exceptions import Reject
from notes import note


@shared_task
def order(number):
    note("did", "order", number)
    return number


@shared_task
def quick(number):
    note("order", "quick", number)
    return number


@shared_task(reject_on_worker_lost=True)
def dies_once():
    path = os.environ["NOTES"] + ".died"
    if not os.path.exists(path):
        open(path, "w").close()
        os._exit(3)
    note("did", "ran again")
    return "lived"


@shared_task(bind=True)
def requeued(self):
    if not self.request.delivery_info["redelivered"]:
        raise Reject("later", requeue=True)
    note("did", "redelivered")
    return "then"


@shared_task(autoretry_for=(ValueError,), max_retries=1, default_retry_delay=0.2)
def number_of(text):
    return int(text)


@shared_task(
    activity="rabbit-parcel",  # bridge
    queue="shop",
)
def parcel(event):
    return {"parcel": event["number"]}
