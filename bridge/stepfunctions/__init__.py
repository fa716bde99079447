"""The only room that talks to Step Functions.

Module       What it does
-----------  ---------------------------------------------------------------------------
client       makes the four frequent calls: poll, heartbeat, success, failure (asyncio)
activities   lists, creates, describes and deletes activities (blocking)
places       finds the region and account of an activity, and the client for them
payloads     makes the JSON of the frequent calls, within AWS's limits
signed_http  keeps the connections and sends signed calls
signing      signs a call with Signature Version 4
credentials  loads and refreshes AWS credentials without blocking the event loop
pace         orders calls while Step Functions throttles
aws_errors   says which exception of ``bridge.errors`` an answer of Step Functions means
aws          reads the region, endpoint, proxy and certificates from AWS's own settings
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
