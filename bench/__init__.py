"""Measure what the bridge costs, beside what people would use instead of it: ``python -m bench``.

- ``measures`` has what is measured, ``contestants`` what does the work, ``programs`` what they run.
- ``stub`` stands in for Step Functions; ``stub_server`` starts it.
- ``store_filler`` and ``store_fleet`` put claims and workers into a store.
- ``goals``, ``tables``, ``plots``, ``terminal`` and ``result_file`` judge, show and save results.
- ``costs``, ``page`` and ``simulate`` are commands of their own.
"""
