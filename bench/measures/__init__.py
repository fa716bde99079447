"""The measures: each runs and returns plain data; what it should come to stands in ``goals``."""
