"""The loops of ``celery -A bridge poll`` and of beat, and what serves them alone.

``intake`` stores and dispatches the tasks that polls bring; ``grant_log`` says when none can be
claimed. The loops themselves stand in ``bridge/`` until they move here.
"""
