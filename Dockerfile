# syntax=docker/dockerfile:1
# Two images from one file: `api` (API, dispatcher, migrations; without torch) and `worker` (torch with CUDA; runs on a CPU as well).
#   docker build --target api -t cleave-api .
#   docker build --target worker -t cleave-worker .

FROM python:3.12-slim AS base
ENV PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_CACHE_DIR=/var/cache/pip \
    PATH=/opt/cleave/bin:$PATH

FROM base AS wheel
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY service service
COPY worker worker
COPY migrations migrations
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM base AS api-build
RUN python -m venv /opt/cleave
COPY requirements-api.lock /tmp/
RUN --mount=type=cache,target=/var/cache/pip \
    pip install --require-hashes -r /tmp/requirements-api.lock
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-deps /wheels/*.whl && pip check

FROM base AS worker-build
RUN python -m venv /opt/cleave
COPY requirements-worker.lock /tmp/
RUN --mount=type=cache,target=/var/cache/pip \
    pip install --require-hashes -r /tmp/requirements-worker.lock
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir --no-deps /wheels/*.whl && pip check

# The root file system may be read-only: everything written goes to the data folder or to /tmp.
FROM base AS runtime
RUN groupadd --gid 10001 cleave \
    && useradd --uid 10001 --gid cleave --home-dir /var/lib/cleave --shell /usr/sbin/nologin cleave \
    && install -d -o cleave -g cleave -m 0750 /var/lib/cleave
ENV CLEAVE_DATA_DIR=/var/lib/cleave \
    CLEAVE_LOG_FORMAT=json \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
WORKDIR /var/lib/cleave
VOLUME /var/lib/cleave
USER 10001:10001
ENTRYPOINT ["cleave"]

FROM runtime AS api
ENV CLEAVE_HOST=0.0.0.0 \
    CLEAVE_PORT=8321
COPY --from=api-build /opt/cleave /opt/cleave
EXPOSE 8321
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['CLEAVE_PORT'] + '/readyz', timeout=4)"]
CMD ["api"]

# No HTTP here to probe: a worker that hangs stops renewing its lease, and the dispatcher gives its job to another.
FROM runtime AS worker
COPY --from=worker-build /opt/cleave /opt/cleave
CMD ["worker", "--queue", "train"]
