"""Plan a deployment: what a load needs, and which limit it reaches first.

The plan is calculated without Redis and AWS: from AWS's quotas (``quotas``), from measured costs
(``costs.json``, read by ``costs``), and from how the bridge works (``plan``, ``limits``).
``command`` is ``celery -A bridge capacity``.
"""
