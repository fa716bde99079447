"""Settings of Celery, read after the bridge is installed."""

import os

broker_url = result_backend = os.environ["BROKER"]
broker_transport_options = {"visibility_timeout": 3600}
result_expires = 3600
result_extended = True
task_annotations = {"shop.tasks.limited": {"rate_limit": "5/s"}}
task_default_queue = "shop"
task_reject_on_worker_lost = True
task_routes = {"shop.tasks.report_*": {"queue": "reports"}, "shop.tasks.ordered": {"queue": "one"}}
task_send_sent_event = True
task_track_started = True
worker_hijack_root_logger = False
worker_prefetch_multiplier = 2
worker_send_task_events = True
