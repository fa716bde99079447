"""Faster and mended parts of kombu's Redis transport, for workers whose broker is Redis.

Each part is optional: ``bridge.versions`` switches it off with versions of Celery, kombu or
redis-py that the tests did not run with, and no invariant rests on it.
"""
