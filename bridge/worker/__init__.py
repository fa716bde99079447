"""Everything of the bridge that runs inside Celery's worker, and each place where Celery calls it.

In a worker, Celery and kombu call the bridge only in the places that this page lists;
``bridge.installer`` installs them. "Parent" is the worker's main process, which receives messages.
A job runs in a child process with ``--pool prefork``, and in the parent with the other pools
(``pools.py``). A part in brackets is optional: ``bridge.versions`` switches it off with versions
that the tests did not run with.

The way of a job: Celery's consumer takes its message (``redis_transport/``), ``tasks.py`` chooses
how it is received, the pool calls the task, ``task_runner.py`` asks the store for the claim, calls
the user's function and stores the outcome, and Celery acknowledges the message.

**Signals before the worker is built**, in the parent

- ``import_modules``: imports the modules of ``BRIDGE_TASKS`` and reads the settings, so that an
  error is one sentence (``installer.py``).
- ``after_setup_logger``, ``after_setup_task_logger``: format the log as ``BRIDGE_LOG_FORMAT`` says
  (``logs.py``).

**Worker bootsteps**, made in the parent before its pool forks

- ``EquipTasks`` (``bootsteps.py``): changes the class of each task that is an activity; see below.
- ``ServeActivities`` (``bootsteps.py``): checks the store's schema, warns of what the pool cannot
  do, chooses the queues (``queues.py``). After the fork it starts the lease (``lease.py``): a
  thread of the parent, ``bridge-lease``, announces slots, queues and running claims until the
  process exits (``atexit``).
- ``MetricsPort`` (``processes/beat.py``), ``PublishTicks`` (``processes/tick_publishing.py``): only
  in a worker that consumes ``bridge.system``. Their passes close the connections to AWS at the
  signals ``worker_shutdown`` and ``worker_process_shutdown`` (``processes/passes.py``).

**Consumer bootsteps**, in the parent; made once, and started again after each loss of the broker

- ``BatchAcks`` (``redis_transport/batch_acks.py``) [gathered deliveries]: changes the class of the
  QoS of the consumer's channel to ``BatchingQoS``: ``append``, ``ack``, ``reject``,
  ``restore_by_tag`` of ``kombu/transport/redis.py``.
- ``TakeMany`` (``redis_transport/take_many.py``) [batch receiving]: changes the class of the
  consumer's channel to ``ManyTakingChannel``: ``_brpop_start``, ``_brpop_read``, and the entry
  BRPOP of ``handlers``.
- ``BatchEvents`` (``batch_events.py``) [gathered events]: replaces the consumer's
  ``on_send_event_buffered`` (``celery/worker/consumer/consumer.py``).
- ``RaisePrefetch`` (``rate_limits.py``) [room beside rate limits]: wraps the consumer's
  ``_limit_task``, ``_limit_post_eta``, ``_limit_move_to_pool``.
- ``RestorePrefetchInLoop`` (``prefetch.py``) [prefetch mend]: wraps the consumer's
  ``_restore_prefetch_count_after_connection_restart``.
- ``WaitOutRefusals`` (``redis_transport/refused_writes.py``) [refusal mend]: wraps the consumer's
  ``loop``, ``on_connection_error_before_connected``, ``on_connection_error_after_connected``.

**kombu's Redis transports**, in every process with the bridge (``redis_transport/kombu_fixes.py``):
``Transport.Channel`` and ``SentinelTransport.Channel`` become subclasses of kombu's channels.

- ``SurvivesLostBroker`` [broker loss mend]: ``_connparams``.
- ``SurvivesRefusals`` [refusal mend]: ``_brpop_start``, ``_brpop_read``, ``_receive_one``, and
  ``_create_client``, whose clients are ``RaisingClient``. It is a ``PausesAfterRefusal``.
- ``SharesClient`` [shared broker client]: ``_create_client``.

**The class of a task** that is an activity (``tasks.py``): ``_ActivityTask``, or
``_CalledActivityTask`` if the user's class has a ``__call__``, is put in front of the task's class.

- ``start_strategy``, in the parent: Celery asks how to receive a message of the task.
- ``apply_async``, where the job runs: ``Task.retry`` publishes the next delivery of the job.
- ``before_start``, where the job runs: Celery is about to call the task.
- ``run``, or ``__call__``, where the job runs: ``run_job`` (``task_runner.py``) asks for the claim,
  calls the user's function, and stores the outcome as ``endings.py`` says. Inside it,
  ``bridge.current()`` knows the job (``current.py``).

**Signals about ends of jobs that no user's code sees** (``celery_signals.py``); a thread of the
parent, ``bridge-endings``, stores them

- ``task_failure``: a hard time limit, a child that died, a message that cannot be read; in the
  parent. Sent in a child too, where the outcome is stored already.
- ``task_internal_error``: Celery failed outside the task; where the job runs.
- ``task_revoked``, ``task_unknown``, ``task_rejected``: the job was revoked or has expired, the
  worker does not have the task, or cannot read the message; in the parent.

**Elsewhere in Celery**: [batch publishing] is in the process that publishes, mostly the poller
(``loops/dispatcher.py``); [status command] changes ``celery status`` (``cli/status/command.py``);
the bridge's own tasks on ``bridge.system`` are in ``processes/beat.py``.

A new version of Celery, kombu or redis-py: ``bridge.versions`` says how to take it in.
"""
