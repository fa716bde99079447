"""Plan a deployment: what a load needs, and what gives out first.

Calculated, without Redis and without AWS: from AWS's quotas (``quotas``), from what was measured
(``costs.json``, read by ``costs``) and from the way in which the bridge works (``model``).
"""
