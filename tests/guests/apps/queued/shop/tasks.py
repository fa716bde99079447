from celery import shared_task
from notes import note


@shared_task
def order(number):
    note("did", "order", number)
    return number


@shared_task(acks_late=True)
def bill(number):
    note("did", "bill", number)
    return {"bill": number}


@shared_task(autoretry_for=(ValueError,), max_retries=1, default_retry_delay=1)
def number_of(text):
    return int(text)


@shared_task(
    activity="sqs-parcel",  # bridge
)
def parcel(event):
    return {"parcel": event["number"]}
