"""Addresses of the broker, the claim store and AWS: URLs, connection options, partitions. No I/O.

``store_url`` reads and writes the URL of the claim store, and ``broker`` derives this URL from the
broker of an app; ``redis_options`` has the connection options of both. ``service_links`` recognises
environment variables of Kubernetes and Docker that look like settings. ``partitions`` finds the AWS
partition of a region.
"""
