"""What the bridge costs, beside what else would do its work: ``python -m bench``."""
