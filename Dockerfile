# syntax=docker/dockerfile:1

FROM python:3.13-slim AS build
# The extra "local" has what the example and the profile "local" need: matplotlib, moto, Valkey.
# An image for your own tasks goes without: --build-arg EXTRAS=
ARG EXTRAS=[local]
WORKDIR /src
RUN python -m venv /opt/bridge
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY bridge bridge
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/bridge/bin/pip install --constraint constraints.txt ".${EXTRAS}"

FROM python:3.13-slim
RUN useradd --uid 1000 --create-home bridge \
    && install --directory --owner bridge --group bridge /app /app/var
COPY --from=build /opt/bridge /opt/bridge
WORKDIR /app
COPY tasks tasks
ENV PATH=/opt/bridge/bin:$PATH PYTHONUNBUFFERED=1
USER 1000
CMD ["celery", "-A", "bridge", "--help"]
