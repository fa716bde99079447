"""A linter for Step Functions definitions that use activities of the bridge.

``rules`` is the catalogue, and says how to add a rule. ``engine`` runs the checks on one
definition; ``command`` is ``celery -A bridge lint``, which reads files and deployed state machines.
Only ``command``, ``files``, ``run`` and ``deployed`` do I/O.
"""
