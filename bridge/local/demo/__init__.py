"""Run the example pipeline of ``tasks/`` on this machine, as real processes (``demo`` command).

- ``run`` starts everything and follows the executions to their end.
- ``deployment`` starts Valkey and Step Functions (``celery -A bridge local``), and with honcho the
  processes of the Procfile.
- ``executions`` creates the state machine, starts its executions, and asks what became of them.
- ``result`` prints it, as a table or as JSON.
"""

from bridge.local.demo.run import run_demo

__all__ = ["run_demo"]
