"""What AWS needs for a fleet, generated from its activities.

``model`` is the plain description that everything is made from; ``iam``, ``activities``, ``ecs``,
``alarms`` and ``dashboard`` are pure functions from it to dicts; ``limits`` refuses what AWS would;
``render`` writes JSON or YAML; ``command`` is ``celery -A bridge infra``.
"""
