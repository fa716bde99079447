"""The sub-commands of ``celery -A bridge …``, each in a module of its name: parse, ask, print.

``base`` has what they share, ``tables`` how tables look. ``infra``, ``lint`` and ``capacity`` are
commands of rooms of their own (``command.py`` there).

Every ``celery`` command of every app on the machine loads all of these modules (entry points of
``celery.commands``). So a command's module imports what it needs inside its functions.
"""
