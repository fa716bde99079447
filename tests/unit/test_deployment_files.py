"""Procfile, Compose file, image: valid, in step, and with credentials where they belong."""

import json
import re
import shlex
from pathlib import Path

import jsonschema
import pytest
import yaml
from honcho.environ import parse_procfile
from pre_commit.clientlib import load_config

from bridge.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
PROCFILE = parse_procfile((ROOT / "Procfile").read_text()).processes
CALL_STEP_FUNCTIONS = {"poller", "beat", "activities"}


def seconds(duration: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([sm])", duration).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def test_compose_file_follows_the_schema():
    schema = json.loads((ROOT / "tests/data/compose-spec.json").read_text())

    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_the_same_processes_stand_in_both_files():
    assert set(PROCFILE) == {"poller", "worker", "beat", "flower"}
    assert set(PROCFILE) <= set(SERVICES)


@pytest.mark.parametrize("process", ["poller", "worker", "beat"])
def test_commands_are_the_same_in_both_files(process):
    # On one machine the shell's pid tells two workers apart; in containers the host does.
    assert PROCFILE[process].replace("-$$@%h", "@%h") == SERVICES[process]["command"]


def test_flower_differs_in_its_address_only():
    here = shlex.split(PROCFILE["flower"])
    there = shlex.split(SERVICES["flower"]["command"])

    assert here[:-2] == there[:-2]
    assert here[-2:] == ["--address=127.0.0.1", "--port=${FLOWER_PORT:-5555}"]
    assert there[-2:] == ["--address=0.0.0.0", "--port=5555"]


def test_two_workers_of_one_machine_get_two_names():
    assert "$$" in PROCFILE["worker"]
    assert "$$" in PROCFILE["beat"]


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_credentials_are_where_step_functions_is_called_and_nowhere_else(service):
    aws = {name for name in SERVICES[service].get("environment", {}) if name.startswith("AWS_")}

    if service in CALL_STEP_FUNCTIONS:
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} <= aws
    else:
        assert not aws
    # Other ways in: a file of variables, or somebody's ~/.aws.
    assert "env_file" not in SERVICES[service]
    assert not any(".aws" in volume for volume in SERVICES[service].get("volumes", []))


@pytest.mark.parametrize("service", sorted(CALL_STEP_FUNCTIONS))
def test_endpoint_is_set_under_a_profile_only(service):
    endpoint = SERVICES[service]["environment"]["AWS_ENDPOINT_URL_SFN"]

    assert endpoint == "${COMPOSE_PROFILES:+http://stepfunctions:8083}"


def test_without_a_profile_the_production_processes_start():
    always = {name for name, service in SERVICES.items() if "profiles" not in service}

    assert always == {"redis", "poller", "worker", "beat", "flower"}
    for name in always:
        for needed, condition in SERVICES[name].get("depends_on", {}).items():
            assert needed in always or condition["required"] is False


def test_gateway_leads_to_the_local_step_functions():
    gateway = SERVICES["gateway"]
    listen, connect = gateway["command"].split()
    port = shlex.split(SERVICES["stepfunctions"]["command"])[-1]

    assert gateway["network_mode"] == "service:stepfunctions"
    assert connect == f"tcp-connect:127.0.0.1:{port}"
    assert listen.startswith("tcp-listen:8083,")
    assert SERVICES["stepfunctions"]["ports"] == ["127.0.0.1:8083:8083"]


def test_poller_has_time_for_its_open_polls():
    longest_s = Settings.model_fields["poll_timeout_s"].default

    assert seconds(SERVICES["poller"]["stop_grace_period"]) >= longest_s + 5


def test_worker_has_time_to_drain():
    assert seconds(SERVICES["worker"]["stop_grace_period"]) >= 300


def test_redis_keeps_claims_and_stays_inside():
    redis = SERVICES["redis"]

    assert "--appendonly yes" in redis["command"]
    assert "--maxmemory-policy noeviction" in redis["command"]
    assert "redis:/data" in redis["volumes"]
    assert "ports" not in redis


def test_ports_are_published_on_loopback_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_our_processes_share_one_image():
    ours = {name for name, service in SERVICES.items() if "celery" in str(service.get("command"))}

    assert ours == {"poller", "worker", "beat", "flower", "stepfunctions", "activities"}
    assert {SERVICES[name]["image"] for name in ours} == {"celery-stepfunctions"}
    assert {SERVICES[name]["build"] for name in ours} == {"."}


def test_dockerfile_copies_what_dockerignore_lets_through():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copies = [shlex.split(line)[1:-1] for line in lines if line.startswith("COPY ")]
    sources = {path for paths in copies if "--from" not in paths[0] for path in paths}
    ignore = (ROOT / ".dockerignore").read_text().splitlines()

    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == sources
    assert all((ROOT / source).exists() for source in sources)


def test_image_does_not_run_as_root():
    lines = (ROOT / "Dockerfile").read_text().splitlines()

    assert [line for line in lines if line.startswith("USER ")][-1] == "USER 1000"


def test_pre_commit_takes_its_configuration():
    path = ROOT / ".pre-commit-config.yaml"
    load_config(str(path))

    hooks = {
        hook["id"]: hook
        for repo in yaml.safe_load(path.read_text())["repos"]
        for hook in repo["hooks"]
    }
    for name in ("ruff-format", "ruff-check", "mypy", "import-linter"):
        assert hooks[name]["language"] == "system"
        assert hooks[name]["entry"].startswith(".venv/bin/")


def test_licence_is_the_one_that_the_package_names():
    text = (ROOT / "LICENSE").read_text()

    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text()
    assert text.split("\n\n")[0].split() == [
        "Apache", "License", "Version", "2.0,", "January", "2004", "http://www.apache.org/licenses/",
    ]  # fmt: skip
    assert "END OF TERMS AND CONDITIONS" in text
