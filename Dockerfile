# The Backupman daemon with the client programs that it runs. How to use it: docs/docker.md
#
#   docker build --tag backupman .
#   docker run --volume ./config.yml:/etc/backupman/config.yml:ro backupman

FROM python:3.12-slim-trixie AS build

# First the dependencies alone, which change seldom. Every file is checked against its hash in requirements.lock.
WORKDIR /src
COPY requirements.lock ./
RUN pip wheel --no-cache-dir --require-hashes --requirement requirements.lock --wheel-dir /wheels

# From here on nothing is fetched: what is not pinned in the lock is not found.
COPY pyproject.toml README.md LICENSE ./
COPY backupman ./backupman
COPY systemd ./systemd
# hadolint ignore=DL3013
RUN pip wheel --no-cache-dir --no-index --find-links /wheels --no-deps --wheel-dir /wheels . \
    && python -m venv --without-pip /opt/backupman \
    && pip --python /opt/backupman/bin/python install --no-cache-dir --no-index --find-links /wheels 'backupman[all]'


# Dump programs that Debian 13 does not have. They need only libraries that it has, which is tried below.
FROM mysql:8.0 AS mysql-8.0
FROM mysql:8.4 AS mysql-8.4

FROM debian:bookworm-slim AS mariadb-10.11
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends mariadb-client \
    && rm -rf /var/lib/apt/lists/*


FROM python:3.12-slim-trixie

# pg_dump refuses a server newer than itself, so the newest is what Backupman takes. Its dump may not restore into an
# older server: for that case the older clients are there too (tool_path: /usr/lib/postgresql/15/bin). All come from
# PostgreSQL's own package source, whose key Debian's postgresql-common brings.
ARG POSTGRES_CLIENTS="15 16 17 18"
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Without versions: the distribution's newest fixes are wanted, and it keeps no older ones to pin.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        age ca-certificates mariadb-client postgresql-common sqlite3 tini zstd \
    && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
    && read -r -a versions <<<"$POSTGRES_CLIENTS" \
    && apt-get install --yes --no-install-recommends "${versions[@]/#/postgresql-client-}" \
    && rm -rf /var/lib/apt/lists/*

# Debian's own are MariaDB's of 11.8, `mysqldump` included. MySQL's stands before it on the PATH; MariaDB's is found by
# its own name, `mariadb-dump`.
COPY --from=mysql-8.0 /usr/bin/mysql /usr/bin/mysqldump /opt/mysql/8.0/bin/
COPY --from=mysql-8.4 /usr/bin/mysql /usr/bin/mysqldump /opt/mysql/8.4/bin/
COPY --from=mariadb-10.11 /usr/bin/mariadb-dump /opt/mariadb/10.11/bin/
RUN for program in /usr/bin/mariadb-dump /opt/{mysql,mariadb}/*/bin/* /usr/lib/postgresql/*/bin/pg_dump; do \
        "$program" --version || exit 1; \
    done

# /var/lib/backupman holds the records, the locks and the spool; /backups is there for a local drive.
RUN useradd --no-log-init --no-create-home --uid 10001 --user-group --home-dir /var/lib/backupman --shell /usr/sbin/nologin backupman \
    && install --directory --owner=backupman --group=backupman --mode=0700 /var/lib/backupman /backups \
    && install --directory /etc/backupman
COPY --from=build /opt/backupman /opt/backupman
ENV PATH=/opt/backupman/bin:/opt/mysql/8.4/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    XDG_STATE_HOME=/var/lib

USER 10001
WORKDIR /var/lib/backupman
VOLUME ["/var/lib/backupman", "/backups"]
EXPOSE 8080

# Whether the daemon lives, and nothing else: a drive that is down must not restart a running backup.
HEALTHCHECK --interval=30s --timeout=10s --start-period=5m \
    CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=5); c.request('GET', '/livez'); raise SystemExit(c.getresponse().status != 200)"]

# tini is process 1: it passes SIGTERM and SIGHUP on, and clears up after tools whose parent was killed.
ENTRYPOINT ["tini", "--", "backupman"]
CMD ["serve", "--port", "8080"]
