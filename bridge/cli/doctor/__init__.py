"""``celery -A bridge doctor``: is this deployment set up as it should be?"""
