"""The example: a monthly revenue report, from a file of orders to an e-mail with a chart.

It consists of four Celery tasks, each for one activity, and of the state machine that joins them,
``monthly_report.asl.json``. ``celery -A bridge worker`` imports this module, because
``BRIDGE_TASKS`` is ``tasks`` unless it is set; importing the modules below registers their tasks.
"""

from tasks import mail, orders, report

__all__ = ["mail", "orders", "report"]
