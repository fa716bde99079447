# syntax=docker/dockerfile:1
# One image for every process; the container's command chooses the process. See docs/container.md.
ARG PYTHON=3.13-slim

FROM python:${PYTHON} AS build
# The extra "local" has what the example and the profile "local" need: matplotlib, moto, Valkey.
# An image for your own tasks does not need it: --build-arg EXTRAS=
ARG EXTRAS=[local]
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY constraints.txt ./
# The build is not isolated, so that its tools are pinned too; they stay in this stage.
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --constraint constraints.txt build hatchling \
    && python -m venv --without-pip /opt/bridge
COPY pyproject.toml README.md LICENSE ./
COPY bridge bridge
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m build --wheel --no-isolation --outdir /wheels \
    && set -- /wheels/*.whl \
    && python -m pip --python /opt/bridge/bin/python install --constraint constraints.txt "$1${EXTRAS}"

FROM python:${PYTHON}
# ecs.yaml and Kubernetes' runAsNonRoot need the user's number. Tasks write to /app/var or /tmp.
RUN useradd --uid 1000 --create-home --shell /usr/sbin/nologin bridge \
    && install --directory --owner bridge --group bridge /app /app/var
COPY --from=build /opt/bridge /opt/bridge
WORKDIR /app
COPY tasks tasks
ENV PATH=/opt/bridge/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONFAULTHANDLER=1 PYTHONUNBUFFERED=1
USER 1000
# SIGTERM starts a drain: open polls return, jobs end. CMD starts no shell, which would not pass it on.
STOPSIGNAL SIGTERM
# Unhealthy means that a restart would help; a Redis that is away makes no container unhealthy. Once a
# minute is enough: each check takes half a second of CPU, and the claims of a dead process are recovered
# within a lease without it.
HEALTHCHECK --interval=60s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-P", "-m", "bridge.healthcheck"]
CMD ["celery", "-A", "bridge", "--help"]
