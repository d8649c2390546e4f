"""The servers of the tests do what the tests rely on."""

import os
import smtplib
import ssl
from contextlib import closing
from pathlib import Path

import httpx
import psycopg
import pymysql
import pytest
from botocore.exceptions import ClientError

from tests import servers
from tests.servers import ODD_PASSWORD, unavailable
from tests.servers.mariadb import Mariadb
from tests.servers.postgres import Postgres
from tests.servers.receiver import Receiver
from tests.servers.s3 import S3
from tests.servers.smtp import Crypto, Smtp

MESSAGE = b"Subject: hello\r\n\r\nbody\r\n"


def test_postgres_over_tcp_and_socket(postgres: Postgres, postgres_database: str) -> None:
    for host in (postgres.host, str(postgres.socket_dir)):
        with postgres.connect(postgres_database, host=host) as connection:
            assert connection.execute("SELECT current_database()").fetchone() == (postgres_database,)
        with pytest.raises(psycopg.OperationalError, match="password"):
            postgres.connect(postgres_database, host=host, password="wrong")


def test_postgres_plain_client(postgres: Postgres, postgres_database: str, tmp_path: Path) -> None:
    script = tmp_path / "script.sql"
    script.write_text("CREATE TABLE t (v text); INSERT INTO t VALUES ('ß€😀');", encoding="utf-8")
    postgres.psql(postgres_database, script)
    assert postgres.psql(postgres_database, "SELECT v FROM t") == "ß€😀\n"
    with pytest.raises(AssertionError, match="no_such_table"):
        postgres.psql(postgres_database, "SELECT * FROM no_such_table; SELECT 1")


def test_mariadb_over_tcp_and_socket(mariadb: Mariadb, mariadb_database: str) -> None:
    for place in ({}, {"unix_socket": str(mariadb.socket_path)}):
        with mariadb.connect(mariadb_database, **place) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT DATABASE()")
            assert cursor.fetchone() == (mariadb_database,)
        with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
            mariadb.connect(mariadb_database, password="wrong", **place)


def test_mariadb_plain_client(mariadb: Mariadb, mariadb_database: str, tmp_path: Path) -> None:
    script = tmp_path / "script.sql"
    script.write_text("CREATE TABLE t (v text); INSERT INTO t VALUES ('ß€😀');", encoding="utf-8")
    mariadb.client(mariadb_database, script)
    assert mariadb.client(mariadb_database, "SELECT v FROM t") == "ß€😀\n"
    with pytest.raises(AssertionError, match="no_such_table"):
        mariadb.client(mariadb_database, "SELECT * FROM no_such_table")


def test_databases_with_odd_names(postgres: Postgres, mariadb: Mariadb) -> None:
    for server in (postgres, mariadb):
        name = server.create_database("odd \"`'%s ß")
        try:
            server.connect(name).close()
        finally:
            server.drop_database(name)


def test_s3_keeps_an_object(s3: S3, bucket: str) -> None:
    with closing(s3.client()) as client:
        client.put_object(Bucket=bucket, Key="a/b", Body=b"body")
        assert client.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"body"
        with pytest.raises(ClientError, match="NoSuchBucket"):
            client.put_object(Bucket="no-such-bucket", Key="a", Body=b"")


def connect(smtp: Smtp, crypto: Crypto) -> smtplib.SMTP:
    trust = ssl.create_default_context(cafile=str(smtp.ca_file))
    if crypto == "ssl":
        return smtplib.SMTP_SSL(smtp.host, smtp.ports[crypto], timeout=60, context=trust)
    client = smtplib.SMTP(smtp.host, smtp.ports[crypto], timeout=60)
    if crypto == "starttls":
        client.starttls(context=trust)
    return client


@pytest.mark.parametrize("crypto", ["none", "starttls", "ssl"])
def test_mail_arrives(smtp: Smtp, crypto: Crypto) -> None:
    with connect(smtp, crypto) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(smtp.user, "wrong")
        # smtplib sends passwords of plain ASCII only.
        smtp.password = "right"
        client.login(smtp.user, "right")
        client.sendmail("from@example.org", ["to@example.org"], MESSAGE)
    [mail] = smtp.mails
    assert (mail.crypto, mail.sender, mail.recipients) == (crypto, "from@example.org", ["to@example.org"])
    assert mail.message["Subject"] == "hello"


def test_mail_is_refused_as_ordered(smtp: Smtp) -> None:
    smtp.password, smtp.refused = "right", {"gone@example.org"}
    with connect(smtp, "starttls") as client:
        client.login(smtp.user, "right")
        assert client.sendmail("a@example.org", ["b@example.org", "gone@example.org"], MESSAGE).keys() == smtp.refused
        smtp.busy = True
        with pytest.raises(smtplib.SMTPSenderRefused, match="451"):
            client.sendmail("a@example.org", ["b@example.org"], MESSAGE)
        smtp.busy, smtp.stall = False, 30
        assert client.sock is not None
        client.sock.settimeout(0.3)
        with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
            client.sendmail("a@example.org", ["b@example.org"], MESSAGE)
    assert len(smtp.mails) == 1


def test_mail_without_starttls_or_login_is_refused(smtp: Smtp) -> None:
    without_tls = smtplib.SMTP(smtp.host, smtp.ports["starttls"], timeout=60)
    with without_tls as client, pytest.raises(smtplib.SMTPSenderRefused, match="STARTTLS"):
        client.sendmail("a@example.org", ["b@example.org"], MESSAGE)
    with connect(smtp, "none") as client, pytest.raises(smtplib.SMTPSenderRefused, match="530"):
        client.sendmail("a@example.org", ["b@example.org"], MESSAGE)


def test_receiver_records_and_answers(receiver: Receiver) -> None:
    receiver.answer(503, headers={"Retry-After": "7"}, body=b"later")
    receiver.answer(drop=True)
    receiver.answer(delay=30)
    first = httpx.post(f"{receiver.url}/hook?x=1", content=b"\x00body", headers={"X-Webhook-Token": "secret"})
    assert (first.status_code, first.headers["Retry-After"], first.content) == (503, "7", b"later")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(receiver.url)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(receiver.url, timeout=0.3)
    assert httpx.get(receiver.url).status_code == 200
    seen = receiver.wait(4)[0]
    assert (seen.method, seen.path, seen.body) == ("POST", "/hook?x=1", b"\x00body")
    assert seen.headers["x-webhook-token"] == "secret"


def test_a_missing_service_skips_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "MUST_RUN", frozenset({"age"}))
    with pytest.raises(pytest.skip.Exception, match="zstd"):
        unavailable("zstd", "it is not there")
    with pytest.raises(pytest.fail.Exception, match="BACKUPMAN_MUST_RUN"):
        unavailable("age", "it is not there")


def test_the_environment_is_our_own(own_environment: Path) -> None:
    assert Path.home() == own_environment
    assert not [name for name in os.environ if name.startswith(("BACKUPMAN_", "PG", "MYSQL", "AWS_ACCESS"))]
    assert " " in ODD_PASSWORD
