"""The section of the HTTP server."""

from tests.config.conftest import WHOLE, Load


def test_links_begin_with_the_port_unless_an_address_is_given(loaded: Load) -> None:
    assert loaded(WHOLE).config.http.url() == "http://localhost:8080"
    assert loaded(f"{WHOLE}http: {{port: 8899}}\n").config.http.url() == "http://localhost:8899"
    given = loaded(f"{WHOLE}http: {{port: 8899, app_url: https://backups.example.com}}\n").config.http.url()
    assert given == "https://backups.example.com"
