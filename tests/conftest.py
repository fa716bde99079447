"""Fixtures of all tests: a real Valkey, a real Step Functions interpreter, real processes."""

pytest_plugins = [
    "tests.fixtures_local",
    "tests.fixtures_bridge",
    "tests.fixtures_deployment",
]
