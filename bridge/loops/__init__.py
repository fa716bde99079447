"""The four loops that do the bridge's work beside the workers, and what only they use.

Module        What it does
------------  ------------------------------------------------------------------------
poller        claims tasks: asks the store for polls, opens them, stores what they bring
reporter      sends stored outcomes to Step Functions
heartbeat     sends the heartbeats that are due, in one pass
recovery      recovers what dead processes left behind, in one pass

Of the poller:

poll_wishes   says what the poller asks the store for, and how soon it asks again
open_polls    knows which polls of an activity are open, and which found its queue empty
poll_window   says how many polls of an activity to keep open
intake        stores a task as a claim and has its job published
grant_log     logs when no worker serves a queue, and when one does again

Of the poller and recovery:

dispatcher    publishes a claim's job, and revokes a job

The loops never import one another: they meet in the store. ``bridge.processes`` starts them.
"""
