"""The example: a monthly revenue report, from a file of orders to an e-mail with a chart.

Four Celery tasks, each of them the worker of one Step Functions activity; the state machine that
joins them is ``monthly_report.asl.json``. ``celery -A bridge worker`` imports this module because
``BRIDGE_TASKS`` is ``tasks`` unless it is set; importing the modules below registers their tasks.
"""

from tasks import mail, orders, report

__all__ = ["mail", "orders", "report"]
