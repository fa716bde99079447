"""Where the broker, the claim store and AWS are: URLs, connection options, regions. No I/O.

``store_url`` reads and writes the address of the claim store, and ``broker`` derives it from the
address of an app's broker; ``redis_options`` has the connection options of both. ``service_links``
knows the environment variables that Kubernetes and Docker set, which look like settings.
``partitions`` has AWS's partitions and the endpoint domains of their regions.
"""
