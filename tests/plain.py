"""For clients that only speak plain HTTP: reading the machine's certificates would take them a while for nothing."""

import ssl

NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody."""
