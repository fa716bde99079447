"""``celery -A bridge status``: what is claimed, polled and occupied, and why nothing is claimed.

``overview`` joins what the store knows with the activities of an app, ``screen`` prints it as
tables, ``why`` answers ``--why ACTIVITY``.
"""
