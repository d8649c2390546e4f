"""Where a service answers that is not at its usual address."""

from urllib.parse import urlsplit

from pydantic import AfterValidator


def like(example: str) -> AfterValidator:
    """Of a setting that is the URL of a service, or empty: it holds no password, which would be shown with it."""

    def checked(url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError(f"should be a URL such as {example}")
        if parts.username or parts.password:
            raise ValueError(f"should hold no password, such as {example}: the keys have settings of their own")
        return url

    return AfterValidator(checked)
