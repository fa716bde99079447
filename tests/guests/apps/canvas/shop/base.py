"""The app's base classes, which note how tasks end and what their worker is told of them."""

from celery import Task
from celery.worker.request import Request
from notes import note


class AuditedRequest(Request):
    """Notes time limits and failures in the worker's parent process."""

    def on_timeout(self, soft, timeout):
        note("did", "request.on_timeout", self.name, soft, timeout)
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info, send_failed_event=True, return_ok=False):
        note("did", "request.on_failure", self.name, type(exc_info.exception).__name__)
        return super().on_failure(exc_info, send_failed_event, return_ok)


class AuditedTask(Task):
    Request = AuditedRequest
    abstract = True

    def __call__(self, *args, **kwargs):
        if self.name != "shop.tasks.pack":
            said = () if self.name == "shop.tasks.failed" else args  # its argument is a Context
            note("did", "call", self.name, said, self.request.retries)
        return super().__call__(*args, **kwargs)

    def before_start(self, task_id, args, kwargs):
        if self.name != "shop.tasks.pack":
            note("did", "before_start", self.name, len(args))

    def on_success(self, retval, task_id, args, kwargs):
        if self.name != "shop.tasks.pack":
            note("did", "on_success", self.name, retval)

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        note("did", "on_failure", self.name, repr(exc))

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        note("did", "on_retry", self.name, repr(exc))

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        if self.name != "shop.tasks.pack":
            note("did", "after_return", self.name, status)
