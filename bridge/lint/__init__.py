"""A linter of Step Functions definitions that use activities of the bridge.

``engine`` looks at one definition; ``celery -A bridge lint`` (``command``) at files and at what is
deployed. Everything but ``command``, ``files`` and ``deployed`` is pure.
"""
