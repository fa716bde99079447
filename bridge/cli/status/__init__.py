"""``celery -A bridge status``: show claims, polls and slots, or explain why nothing is claimed.

``overview`` joins what the claim store knows with the activities of the app. ``screen`` prints it
as tables. ``why`` answers ``--why ACTIVITY``.
"""
