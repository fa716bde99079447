"""Generate IAM policies and CloudFormation templates for a fleet.

``fleet`` describes a fleet. ``iam``, ``activities``, ``ecs``, ``alarms`` and ``dashboard`` are pure
functions that make dicts from it. ``limits`` refuses templates that are too large; ``render``
writes JSON or YAML; ``command`` is ``celery -A bridge infra``.
"""
