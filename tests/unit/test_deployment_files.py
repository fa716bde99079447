"""Procfile, Compose file and image: valid, consistent, with credentials only where needed."""

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import jsonschema
import pytest
import yaml
from honcho.environ import parse_procfile
from pre_commit.clientlib import load_config

from bridge.healthcheck.__main__ import DEADLINE_S
from bridge.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
PROCFILE = parse_procfile((ROOT / "Procfile").read_text()).processes
CALL_STEP_FUNCTIONS = {"poller", "beat", "activities"}


class Step(NamedTuple):
    """An instruction of a Dockerfile."""

    word: str
    text: str


def dockerfile() -> tuple[list[Step], list[list[Step]]]:
    """What stands before the first stage, and the stages."""
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    steps = [Step(*line.split(None, 1)) for line in joined.splitlines()]
    starts = [number for number, step in enumerate(steps) if step.word == "FROM"]
    ends = [*starts[1:], len(steps)]
    return steps[: starts[0]], [steps[a:b] for a, b in zip(starts, ends, strict=True)]


def runs(stage: list[Step]) -> list[str]:
    return [step.text for step in stage if step.word == "RUN"]


PREAMBLE, STAGES = dockerfile()


def seconds(duration: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([sm])", duration).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def test_compose_file_follows_the_schema():
    schema = json.loads((ROOT / "tests/data/compose-spec.json").read_text())

    jsonschema.Draft202012Validator(schema).validate(COMPOSE)


def test_both_files_have_the_same_processes():
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
def test_only_processes_that_call_step_functions_have_credentials(service):
    aws = {name for name in SERVICES[service].get("environment", {}) if name.startswith("AWS_")}

    if service in CALL_STEP_FUNCTIONS:
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} <= aws
    else:
        assert not aws
    # Credentials could also come from a file of variables, or from ~/.aws.
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


def test_redis_keeps_claims_and_is_not_published():
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


def test_health_is_the_images_own_check():
    for name in PROCFILE:
        assert "healthcheck" not in SERVICES[name]


def test_every_dependency_says_when_it_is_ready():
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed], f"{name} waits for {needed}"
            elif how["condition"] == "service_completed_successfully":
                assert SERVICES[needed]["restart"] == "no"
    for name in PROCFILE:
        assert SERVICES[name]["depends_on"]["redis"] == {"condition": "service_healthy"}


def test_every_process_has_an_init_and_a_time_to_stop():
    for name in PROCFILE:
        assert SERVICES[name]["init"] is True
        assert seconds(SERVICES[name]["stop_grace_period"]) >= 10


def test_dockerfile_copies_what_dockerignore_lets_through():
    copies = [
        shlex.split(step.text)
        for stage in STAGES
        for step in stage
        if step.word == "COPY" and "--from" not in step.text
    ]
    sources = {path for paths in copies for path in paths[:-1]}
    ignore = (ROOT / ".dockerignore").read_text().splitlines()

    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == sources
    assert all((ROOT / source).exists() for source in sources)


class TestDockerfile:
    """What hadolint and Docker's own checks ask for, where it can be asked without them."""

    def test_only_known_instructions(self):
        known = {
            "ARG",
            "CMD",
            "COPY",
            "ENV",
            "FROM",
            "HEALTHCHECK",
            "RUN",
            "STOPSIGNAL",
            "USER",
            "WORKDIR",
        }

        assert {step.word for stage in STAGES for step in stage} <= known

    def test_build_tools_are_not_in_the_image(self):
        build, image = STAGES

        assert build[0].text == "python:${PYTHON} AS build"
        assert image[0].text == "python:${PYTHON}"
        assert re.fullmatch(r"PYTHON=3\.\d+-slim", PREAMBLE[0].text)
        taken = [step.text for step in image if step.word == "COPY" and "--from" in step.text]
        assert taken == ["--from=build /opt/bridge /opt/bridge"]
        assert not any(re.search(r"\b(pip|apt-get|curl)\b", run) for run in runs(image))
        assert any("venv --without-pip /opt/bridge" in run for run in runs(build))

    def test_every_installation_is_pinned(self):
        installing = [run for stage in STAGES for run in runs(stage) if " install " in run]
        pip = [part for run in installing for part in run.split("&&") if "pip" in part.split()]

        assert len(pip) == 2
        assert all("--constraint constraints.txt" in part for part in pip)
        # An isolated build would fetch what no constraint names.
        assert any("--no-isolation" in run for run in runs(STAGES[0]))
        pins = (ROOT / "constraints.txt").read_text().splitlines()
        assert {"build", "hatchling"} <= {pin.partition("==")[0] for pin in pins}

    def test_nothing_of_a_package_manager_is_left(self):
        for run in (run for stage in STAGES for run in runs(stage)):
            assert "apt-get" not in run or "rm -rf /var/lib/apt/lists" in run
            # pip's cache lies on a mount, outside every layer.
            assert " pip " not in run or "--mount=type=cache,target=/root/.cache/pip" in run

    def test_it_does_not_run_as_root(self):
        users = [step.text for step in STAGES[-1] if step.word == "USER"]

        # A number: Kubernetes' runAsNonRoot cannot tell who a name is.
        assert users == ["1000"]
        last = [step.word for step in STAGES[-1]]
        assert "RUN" not in last[last.index("USER") :]

    @pytest.mark.parametrize("word", ["CMD", "HEALTHCHECK"])
    def test_no_shell_runs_between_docker_and_the_process(self, word):
        """A shell would be PID 1, and keep SIGTERM to itself."""
        (step,) = (step for step in STAGES[-1] if step.word == word)
        args = json.loads(step.text[step.text.index("[") :])

        assert args[0] in ("celery", "python")
        for name in PROCFILE:
            assert shlex.split(SERVICES[name]["command"])[0] == "celery"
            assert "entrypoint" not in SERVICES[name]

    def test_the_stop_signal_is_celerys(self):
        assert [step.text for step in STAGES[-1] if step.word == "STOPSIGNAL"] == ["SIGTERM"]

    def test_the_health_check_has_time_to_answer(self):
        """One that is killed counts as a failure, though Redis may only be slow."""
        (step,) = (step for step in STAGES[-1] if step.word == "HEALTHCHECK")
        options = dict(re.findall(r"--([a-z-]+)=(\d+)", step.text))

        assert int(options["timeout"]) >= DEADLINE_S + 3
        assert int(options["interval"]) >= 30
        assert int(options["start-period"]) >= 30
        assert 'CMD ["python", "-P", "-m", "bridge.healthcheck"]' in step.text

    def test_the_image_has_no_secrets(self):
        text = (ROOT / "Dockerfile").read_text()

        assert not re.search(r"AWS_|PASSWORD|TOKEN|SECRET|CELERY_BROKER_URL", text)


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
        "Apache",
        "License",
        "Version",
        "2.0,",
        "January",
        "2004",
        "http://www.apache.org/licenses/",
    ]
    assert "END OF TERMS AND CONDITIONS" in text
