"""Small tools that know nothing of claims: batching, garbage collection, masking of secrets.

``killpoints`` names the moments at which tests kill a process; ``publish_errors`` says what the
exception of a failed publish means.
"""
