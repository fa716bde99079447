"""``celery -A bridge status --why ACTIVITY``: why nothing more of an activity is claimed."""
