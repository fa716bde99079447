"""What the pages show: Python that compiles, commands that exist, manifests that fit together."""

import ast
import re
import shlex
from importlib.util import module_from_spec, spec_from_file_location

import click
import pytest
import yaml
from celery.bin.worker import worker

from bridge.metrics import catalogue
from tests.unit.docs.pages import DOCS, PAGES, ROOT, blocks, without_blocks

BLOCKS = [block for page in PAGES for block in blocks(page)]
SHELL = {"", "sh", "bash", "console", "shell"}
# Celery's, and Flower's, which takes its options by itself.
THEIRS = {"purge", "beat", "control", "events", "flower", "inspect"}


def test_python_compiles():
    for block in BLOCKS:
        if block.language == "python":
            try:
                ast.parse(block.text)
            except SyntaxError as exc:
                pytest.fail(f"{block.page}:{block.line + (exc.lineno or 0)}: {exc.msg}")


def commands():
    spec = spec_from_file_location("docs_generate", DOCS / "_generate.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.commands() | {"worker": worker}


def shown():
    """Every ``celery -A app …`` in a block, and in the text."""
    for block in BLOCKS:
        if block.language in SHELL:
            text = block.text.replace("\\\n", " ")
            for line in re.findall(r"celery -A [^\n|;&#]+", text):
                yield block.page, line
    for page in PAGES:
        for code in re.findall(r"`([^`]+)`", without_blocks(page)):
            for line in re.findall(r"celery -A [^|;&#]+", code):
                yield str(page.relative_to(ROOT)), line


SHOWN = sorted(set(shown()))


def check(line: str, known: dict[str, click.Command]) -> str:
    """What is wrong with a command line; empty: nothing."""
    words = shlex.split(line.replace("'{", "{").rstrip("\\").strip())[3:]
    if not words or words[0].isupper() or words[0].startswith(("…", "<", "[")):
        return ""  # it speaks of commands as such
    if words[0] in THEIRS:
        return ""
    for length in (2, 1):
        path = " ".join(words[:length])
        if path in known:
            break
    else:
        in_group = any(name.startswith(f"{words[0]} ") for name in known)
        if in_group and (len(words) == 1 or words[1].startswith("…")):
            return ""
        return f"no command {words[0]!r}"
    options = {
        name for option in known[path].params for name in (*option.opts, *option.secondary_opts)
    }
    for word in words[length:]:
        name = word.partition("=")[0]
        if name.startswith("-") and name not in options | {"--help"}:
            return f"{path} has no option {name}"
    return ""


def test_there_are_commands_to_check():
    assert len(SHOWN) > 30


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("celery -A bridge lint --fix a.json", ""),
        ("celery -A bridge lint --mend a.json", "lint has no option --mend"),
        ("celery -A bridge activities create", ""),
        ("celery -A bridge activities make", "no command 'activities'"),
        ("celery -A bridge polls", "no command 'polls'"),
    ],
)
def test_the_check_finds_what_is_wrong(line, wrong):
    assert check(line, commands()) == wrong


def test_commands_and_their_options_exist():
    known = commands()
    wrong = [f"{page}: {line}: {said}" for page, line in SHOWN if (said := check(line, known))]

    assert wrong == []


MANIFESTS = [
    manifest
    for block in blocks(DOCS / "howto" / "kubernetes.md")
    if block.language == "yaml"
    for manifest in yaml.safe_load_all(block.text)
]
DEPLOYMENTS = {each["metadata"]["name"]: each for each in MANIFESTS if each["kind"] == "Deployment"}
SECONDS_TO_STOP = {"poller": 90, "worker": 120, "beat": 30, "flower": 30}


def pod(name):
    return DEPLOYMENTS[name]["spec"]["template"]["spec"]


def test_the_processes_of_the_procfile_are_deployed():
    assert set(DEPLOYMENTS) == set(SECONDS_TO_STOP)


@pytest.mark.parametrize("name", sorted(SECONDS_TO_STOP))
def test_a_deployment_fits_together(name):
    spec = DEPLOYMENTS[name]["spec"]
    (container,) = pod(name)["containers"]
    named = {(each["kind"], each["metadata"]["name"]) for each in MANIFESTS}

    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert ("ServiceAccount", pod(name)["serviceAccountName"]) in named
    assert pod(name)["enableServiceLinks"] is False
    for source in container["envFrom"]:
        kind = "Secret" if "secretRef" in source else "ConfigMap"
        assert (kind, next(iter(source.values()))["name"]) in named
    assert check(" ".join(container["command"]), commands()) == ""
    assert pod(name)["terminationGracePeriodSeconds"] >= SECONDS_TO_STOP[name]
    ports = {port["name"] for port in container.get("ports", [])}
    for probe in (container.get("livenessProbe"), container.get("readinessProbe")):
        if probe:
            assert (probe.get("tcpSocket") or probe["httpGet"])["port"] in ports


@pytest.mark.parametrize("name", sorted(SECONDS_TO_STOP))
def test_only_who_calls_step_functions_has_a_role(name):
    accounts = {
        each["metadata"]["name"]: each for each in MANIFESTS if each["kind"] == "ServiceAccount"
    }
    account = accounts[pod(name)["serviceAccountName"]]

    calls = name in ("poller", "beat")
    assert ("annotations" in account["metadata"]) == calls
    sources = {next(iter(each.values()))["name"] for each in pod(name)["containers"][0]["envFrom"]}
    assert ("bridge-aws" in sources) == calls


def test_workers_scale_and_are_never_none():
    (scaled,) = [each for each in MANIFESTS if each["kind"] == "ScaledObject"]

    assert scaled["spec"]["scaleTargetRef"]["name"] in DEPLOYMENTS
    assert scaled["spec"]["minReplicaCount"] > 0
    assert "replicas" not in DEPLOYMENTS["worker"]["spec"]


def test_the_query_names_metrics_that_exist():
    (scaled,) = [each for each in MANIFESTS if each["kind"] == "ScaledObject"]
    named = set(re.findall(r"bridge_\w+", scaled["spec"]["triggers"][0]["metadata"]["query"]))

    assert named <= {metric.name for metric in (*catalogue.process.ALL, *catalogue.fleet.ALL)}
