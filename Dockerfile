# Backupman with the client programs that it runs. How to use it: docs/docker.md
#
#   docker build --tag backupman .
#   docker run --rm --init --volume ./config.yml:/etc/backupman/config.yml:ro backupman

FROM python:3.12-slim-bookworm AS build

# First the dependencies alone, which change seldom. Every file is checked against its hash in requirements.lock.
WORKDIR /src
COPY requirements.lock ./
RUN pip wheel --no-cache-dir --require-hashes --requirement requirements.lock --wheel-dir /wheels

# From here on nothing is fetched: what is not pinned in the lock is not found.
COPY pyproject.toml README.md LICENSE ./
COPY backupman ./backupman
# hadolint ignore=DL3013
RUN pip wheel --no-cache-dir --no-index --find-links /wheels --no-deps --wheel-dir /wheels . \
    && python -m venv --without-pip /opt/backupman \
    && pip --python /opt/backupman/bin/python install --no-cache-dir --no-index --find-links /wheels 'backupman[all]'


FROM python:3.12-slim-bookworm

# pg_dump refuses a server newer than itself, so the newest is what Backupman takes. Its dump may not restore into an
# older server: for that case the older clients are there too (tool_path: /usr/lib/postgresql/15/bin). All come from
# PostgreSQL's own package source, whose key Debian's postgresql-common brings.
ARG POSTGRES_CLIENTS="15 16 17 18"
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Without versions: the distribution's newest fixes are wanted, and it keeps no older ones to pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        age ca-certificates mariadb-client postgresql-common sqlite3 zstd \
    && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
    && read -r -a versions <<<"$POSTGRES_CLIENTS" \
    && apt-get install --yes --no-install-recommends "${versions[@]/#/postgresql-client-}" \
    && rm -rf /var/lib/apt/lists/*

# /var/lib/backupman holds the records, the locks and the spool; /backups is there for a local drive.
RUN useradd --no-log-init --no-create-home --uid 10001 --user-group --home-dir /var/lib/backupman --shell /usr/sbin/nologin backupman \
    && install --directory --owner=backupman --group=backupman --mode=0700 /var/lib/backupman /backups \
    && install --directory /etc/backupman
COPY --from=build /opt/backupman /opt/backupman
ENV PATH=/opt/backupman/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    XDG_STATE_HOME=/var/lib

USER 10001
WORKDIR /var/lib/backupman
VOLUME ["/var/lib/backupman", "/backups"]

ENTRYPOINT ["backupman"]
CMD ["run"]
