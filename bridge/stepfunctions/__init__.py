"""The only place that talks to Step Functions.

``client`` has the hot calls (asyncio), ``activities`` those that manage activities (blocking),
``places`` the regions and accounts that they go to.
Limits are enforced before a call is sent, and errors come back as those of ``bridge.errors``.
"""

from bridge.stepfunctions.activities import (
    ActivityDescription,
    create_activity,
    delete_activity,
    describe_activity,
    list_activities,
    resolve,
)
from bridge.stepfunctions.aws import Connection, describe_connection
from bridge.stepfunctions.client import StepFunctions
from bridge.stepfunctions.credentials import SharedCredentials
from bridge.stepfunctions.payloads import ActivityTask
from bridge.stepfunctions.places import HOME, AwsPlace, Clients, Places

__all__ = [
    "HOME",
    "ActivityDescription",
    "ActivityTask",
    "AwsPlace",
    "Clients",
    "Connection",
    "Places",
    "SharedCredentials",
    "StepFunctions",
    "create_activity",
    "delete_activity",
    "describe_activity",
    "describe_connection",
    "list_activities",
    "resolve",
]
