"""Run everything on one machine, for development, tests and the demo; needs the extra ``local``."""
