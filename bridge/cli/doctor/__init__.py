"""``celery -A bridge doctor``: check whether a deployment is set up as it should be.

``checks`` runs every check in order. The checks stand in a module for each subject: ``app``,
``installed_versions``, ``stepfunctions``, ``claim_store``, ``fleet``, ``broker``.
"""
