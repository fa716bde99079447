"""The commands of ``celery -A bridge``: each is in the module or folder of its name.

``base`` has what the commands share, ``tables`` the look of their tables. The commands ``infra``,
``lint`` and ``capacity`` are in ``bridge/infra``, ``bridge/lint`` and ``bridge/capacity``.

A ``celery`` command of any app on the machine loads every command of the bridge, because they are
entry points of ``celery.commands``. So a command's module imports what it needs inside its
functions, and this file imports nothing.
"""
