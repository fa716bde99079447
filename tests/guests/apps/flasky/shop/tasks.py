"""Tasks that run in an app context; so does the activity task."""

from celery import shared_task
from flask import current_app, g
from notes import note


@shared_task
def price(amount):
    g.seen = getattr(g, "seen", 0) + 1  # in this context only
    return f"{amount} {current_app.config['CURRENCY']} {g.seen}"


@shared_task
def mail_order(number):
    note("order", "mail", number)


@shared_task
def page(number):
    note("order", "page", number)


@shared_task
def bill(number):
    note("did", "bill", number, current_app.name)
    return number


@shared_task(bind=True, max_retries=1)
def unlucky(self):
    try:
        current_app.config["NOTHING"]
    except KeyError as exc:
        raise self.retry(exc=exc, countdown=0.1) from None


@shared_task(
    activity="flask-quote",  # bridge
    queue="bills",
)
def quote(event):
    return {"price": f"{event['number']} {current_app.config['CURRENCY']}"}
