"""Fixtures of all tests: a real Valkey, a real interpreter of state machines, real processes."""

import pytest

pytest_plugins = [
    "tests.fixtures_local",
    "tests.fixtures_bridge",
    "tests.fixtures_deployment",
    "tests.fixtures_capacity",
]

pytest.register_assert_rewrite("tests.acceptance.capacity_rules", "tests.faults.refused_commands")
