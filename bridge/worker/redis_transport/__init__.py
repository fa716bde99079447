"""Subclasses of kombu's Redis channel and QoS, for workers whose broker is Redis.

``kombu_fixes`` fixes faults of the channel, in every process with the bridge; ``take_many`` and
``batch_acks`` make a worker's consumer cheaper; ``refused_writes`` treats a Redis that refuses
writes as one that is away. Each part is optional: ``bridge.versions`` switches it off with versions
of Celery, kombu or redis-py that the tests did not run with. No invariant rests on them.

How Celery comes to use the subclasses:

- The fixes are in the class that ``Transport.Channel`` and ``SentinelTransport.Channel`` name. From
  this attribute a transport of kombu makes its channels.
- A worker's own channel and its QoS get another class after Celery has made them (``class_change``,
  from a consumer bootstep). So only the consumer of tasks is changed: the app's producers, its
  other connections and its settings stay as they are.

Two other ways do not fit the consumer. ``app.connection_for_read(transport=...)`` cannot be
given to a worker: Celery calls it without arguments, kombu forgets the class when it goes to the
next of several broker URLs, and ``celery inspect stats`` would have to send the class as JSON. A
setting of the app (``broker_transport``) would change its producers, and the settings that it
prints.
"""
