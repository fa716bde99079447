"""Two ordinary tasks, and one that is an activity."""

from celery import shared_task


@shared_task
def add(x, y):
    return x + y


@shared_task(acks_late=False)
def slow(x):
    return x


@shared_task(
    activity="pack",  # bridge
)
def pack(event):
    return event
