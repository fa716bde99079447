"""What people look at: the status, the answer to ``--why``, settings, activities, findings.

``overview`` joins what the store knows with the activities of an app, ``reasons`` says in sentences
what that means for one of them; the others print.
"""

from bridge.report.activities import activity_as_json, show_activities, show_descriptions
from bridge.report.findings import show_findings
from bridge.report.overview import Overview
from bridge.report.reasons import explain
from bridge.report.settings import effective_settings, show_settings
from bridge.report.status import show_status, watch_status
from bridge.report.why import Answer, settled, show_answer

__all__ = [
    "Answer",
    "Overview",
    "activity_as_json",
    "effective_settings",
    "explain",
    "settled",
    "show_activities",
    "show_answer",
    "show_descriptions",
    "show_findings",
    "show_settings",
    "show_status",
    "watch_status",
]
