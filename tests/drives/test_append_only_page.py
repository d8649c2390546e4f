"""What docs/append-only.md gives to Amazon is taken, and keeps what its host then stores."""

import json
from contextlib import closing
from typing import Any

import boto3
import pytest

from tests.pages import ROOT, Page
from tests.servers.s3 import S3

PAGE = Page(ROOT / "docs/append-only.md")


def document(word: str) -> Any:
    """The JSON block of the page that holds this word."""
    (found,) = [block.text for block in PAGE.blocks("json") if word in block.text]
    return json.loads(found)


@pytest.mark.service("s3")
def test_the_bucket_locks_and_removes_what_is_old(s3: S3) -> None:
    bucket = s3.make_bucket(ObjectLockEnabledForBucket=True)
    with closing(s3.client()) as client:
        client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=document("ObjectLockEnabled"))
        client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=document("Rules"))
        client.put_object(Bucket=bucket, Key="dump", Body=b"whole")
        assert client.head_object(Bucket=bucket, Key="dump")["ObjectLockMode"] == "COMPLIANCE"
        (rule,) = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert rule["Expiration"] == {"Days": 90}


@pytest.mark.service("s3")
def test_the_policy_is_one(s3: S3) -> None:
    """Moto reads it as strictly as Amazon does."""
    login: dict[str, Any] = {
        "aws_access_key_id": s3.access_key,
        "aws_secret_access_key": s3.secret_key,
        "region_name": s3.region,
    }
    with closing(boto3.client("iam", endpoint_url=s3.endpoint, **login)) as client:
        made = client.create_policy(PolicyName="adds", PolicyDocument=json.dumps(document("PutObject")))
        assert made["Policy"]["PolicyName"] == "adds"
