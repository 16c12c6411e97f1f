# syntax=docker/dockerfile:1
# The gateway, and the chat services of `examples`, in one image:
#
#   docker build -t quaymaster .
#   docker run --rm -p 8000:8000 -v "$PWD/deploy/quaymaster.yaml:/etc/quaymaster/quaymaster.yaml:ro" \
#       --env-file .env quaymaster
#   docker run --rm --entrypoint python quaymaster -m examples.chat.auth --help

ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# Dependencies are a layer of their own, so that a change of our code does not fetch them again. The
# build backend stays out of the environment that is shipped.
#   docker build --build-arg REQUIREMENTS=otel …   with the packages that `tracing` needs
ARG REQUIREMENTS=run
COPY requirements/run.txt requirements/otel.txt requirements/build.txt requirements/
RUN python -m venv /opt/quaymaster \
    && /opt/quaymaster/bin/pip install --require-hashes -r "requirements/${REQUIREMENTS}.txt" \
    && python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r requirements/build.txt

COPY pyproject.toml README.md LICENSE ./
COPY registry registry
COPY balancer balancer
COPY handlers handlers
COPY gateway gateway
COPY examples examples
COPY clients clients
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/quaymaster/bin/pip install --no-deps /wheels/*.whl


FROM python:${PYTHON}-slim
# DONTWRITEBYTECODE: pip has compiled everything, and the root file system may be read-only. SAFEPATH:
# `python -m` must not import what somebody wrote into the working directory, which is a data volume.
ENV PATH=/opt/quaymaster/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1

# A named volume mounted here takes over this owner, so that the services can write their database.
RUN install -d -o 10001 -g 10001 -m 0750 /var/lib/quaymaster
COPY --from=builder /opt/quaymaster /opt/quaymaster

# A number, so that Kubernetes' runAsNonRoot can check it. No home and no login belong to it.
USER 10001:10001
WORKDIR /var/lib/quaymaster
EXPOSE 8000
STOPSIGNAL SIGTERM

# The slim image has no curl. http.client, unlike urllib, never asks a proxy of the environment.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import http.client, sys; c = http.client.HTTPConnection('127.0.0.1', 8000, timeout=2); c.request('GET', '/health/live'); sys.exit(c.getresponse().status != 200)"]

ENTRYPOINT ["quaymaster"]
CMD ["serve", "--config", "/etc/quaymaster/quaymaster.yaml"]
