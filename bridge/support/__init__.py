"""Small tools that know nothing of claims.

Module          What it does
--------------  ------------------------------------------------------------------
backoff         says how long each part waits before it tries again
batching        does together what several callers ask for at the same time
gc_tuning       keeps Python's garbage collector from long-lived objects
killpoints      names the moments at which tests kill a process
log_limiter     logs a warning that repeats only once in a while
masking         replaces passwords and other secrets in URLs and settings by ``***``
publish_errors  says what the exception of a failed publish means
"""
