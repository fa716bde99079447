"""Tasks that read and write the database, which also has their results."""

import time

from celery import shared_task
from django.db import IntegrityError, connection, transaction
from notes import note

from orders.models import Order


@shared_task
def place(number):
    order = Order.objects.create(number=number)
    return {"order": order.number, "state": order.state}


@shared_task(bind=True, autoretry_for=(Order.DoesNotExist,), max_retries=1, default_retry_delay=0.2)
def pay(self, number):
    with transaction.atomic():
        order = Order.objects.select_for_update().get(number=number)
        order.state = "paid"
        order.save()
    return order.state


@shared_task(throws=(IntegrityError,))
def place_twice(number):
    for _ in range(2):
        Order.objects.create(number=number)


@shared_task
def tidy():
    note("order", "tidy", time.time())


@shared_task
def count():
    assert connection.in_atomic_block is False
    return Order.objects.filter(number__lt=1000).count()


@shared_task(
    activity="django-ship",  # bridge
    heartbeat=10,  # bridge
)
def ship(event):
    order, _ = Order.objects.get_or_create(number=1000 + event["number"])
    order.state = "shipped"
    order.save()
    return {"order": event["number"], "state": order.state}
