"""What lives inside Celery's worker."""
