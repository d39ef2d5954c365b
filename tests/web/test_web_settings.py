"""Settings: variables, flags, units, and what cannot work is said."""

from __future__ import annotations

from dataclasses import fields

import pytest

from mien.cores import usable_cores
from mien.errors import OptionError
from mien.web.settings import Settings


def test_loopback_and_nothing_open_by_default() -> None:
    settings = Settings()
    assert (settings.host, settings.origins, settings.token, settings.rate) == ("127.0.0.1", (), "", "")
    assert settings.threads == usable_cores()


def test_flags_win_over_variables() -> None:
    given = {
        "MIEN_PORT": "9000",
        "MIEN_MAX_BODY": "5M",
        "MIEN_MODELS": "default, own.onnx",
        "MIEN_DATA": "x",
        "HOME": "y",
    }
    settings = Settings.from_environment(given, {"port": "9001", "timeout": "2.5"})
    assert (settings.port, settings.max_body, settings.timeout) == (9001, 5_000_000, 2.5)
    assert settings.models == ("default", "own.onnx")


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("MIEN_PROT", "1", "Did you mean 'MIEN_PORT'"),
        ("MIEN_PORT", "eighty", "MIEN_PORT = 'eighty': expected a whole number"),
        ("MIEN_PORT", "70000", "0 to 65535"),
        ("MIEN_QUEUE", "0", "at least 1"),
        ("MIEN_QUEUE", "4", "max_images = 16 and queue = 4"),
        ("MIEN_TIMEOUT", "0", "more than 0"),
        ("MIEN_TIMEOUT", "inf", "a number of seconds"),
        ("MIEN_MAX_BODY", "5 MB", "20M"),
        ("MIEN_TOKEN", "short", "16 to 512"),
        ("MIEN_TOKEN", "spaces are not allowed here", "16 to 512"),
        ("MIEN_LOG_LEVEL", "warn", "Did you mean 'warning'"),
        ("MIEN_PROXIES", "garbage", "proxies = 'garbage'"),
        ("MIEN_PROXIES", "127.0.0.1, *", "addresses or networks"),
        ("MIEN_PROXIES", "10.0.0.1/8", "host bits"),
        ("MIEN_ROOT_PATH", "mien", "such as /mien"),
        ("MIEN_ROOT_PATH", "/mien/", "without a trailing slash"),
        ("MIEN_HOPS", "0", "at least 1"),
        ("MIEN_ORIGINS", "*", "scheme and host"),
        ("MIEN_ORIGINS", "https://a.example/path", "scheme and host"),
    ],
)
def test_what_cannot_work_is_said(variable: str, value: str, expected: str) -> None:
    with pytest.raises(OptionError) as caught:
        Settings.from_environment({variable: value})
    assert expected in str(caught.value)
    assert "spaces are" not in str(caught.value), "a token was shown"


SERVICE_LINKS = {
    "MIEN_SERVICE_HOST": "10.96.12.7",
    "MIEN_SERVICE_PORT": "80",
    "MIEN_SERVICE_PORT_HTTP": "80",
    "MIEN_PORT": "tcp://10.96.12.7:80",
    "MIEN_PORT_80_TCP": "tcp://10.96.12.7:80",
    "MIEN_PORT_80_TCP_PROTO": "tcp",
    "MIEN_PORT_80_TCP_PORT": "80",
    "MIEN_PORT_80_TCP_ADDR": "10.96.12.7",
    "MIEN_PORT_53_UDP": "udp://10.96.12.7:53",
    "MIEN_PORT_53_UDP_PROTO": "udp",
    "MIEN_WEB_SERVICE_HOST": "fd00::7",
    "MIEN_WEB_SERVICE_PORT": "8000",
    "MIEN_WEB_PORT": "tcp://[fd00::7]:8000",
    "MIEN_WEB_PORT_8000_TCP_ADDR": "fd00::7",
}


def test_variables_of_services_beside_it_are_no_settings() -> None:
    settings = Settings.from_environment({**SERVICE_LINKS, "MIEN_QUEUE": "40", "MIEN_WEIGHTS": "/weights"})
    assert (settings.port, settings.queue) == (8000, 40)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MIEN_PORT", "10.96.12.7:80"),
        ("MIEN_PORT", "http://10.96.12.7:80"),
        ("MIEN_SERVICE_HOST", "localhost"),
        ("MIEN_SERVICE_PORTS", "80"),
        ("MIEN_SERVICE_PORT", "eighty"),
        ("MIEN_WEB_PORT", "8000"),
        ("MIEN_PORT_80_TCP_PROTO", "http"),
        ("MIEN_POTR", "tcp://10.96.12.7:80"),
    ],
)
def test_what_only_resembles_the_variables_of_a_service_is_an_error(variable: str, value: str) -> None:
    with pytest.raises(OptionError, match=variable):
        Settings.from_environment({**SERVICE_LINKS, variable: value})


def test_the_page_of_the_docs_lists_every_setting(pytestconfig: pytest.Config) -> None:
    page = (pytestconfig.rootpath / "docs" / "serve.md").read_text("utf-8")
    for one in fields(Settings):
        assert f"`MIEN_{one.name.upper()}`" in page
