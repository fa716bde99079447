"""What starts the loops: ``celery -A bridge poll``, and the beat process.

Module           What it does
---------------  ---------------------------------------------------------------------
poll             runs poller, reporter and stand-in for beat, from start to drained
beat             defines the periodic Celery tasks, each of which runs one pass
passes           does what those tasks do; only processes of ``bridge.system`` load it
beat_stand_in    runs passes in the poller's process while no beat process does

ticks            is the base of those tasks: a few ticks wait in the queue at most
tick_scheduler   publishes the ticks, as a scheduler of Celery's beat
tick_publishing  gives that scheduler to the workers that serve ``bridge.system``

A *tick* is the periodic message on ``bridge.system``; a *pass* is the run of heartbeat, recovery,
reporting or metrics that it starts.
"""
