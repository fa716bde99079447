"""The address of the claim store: what a URL says of it."""

from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.addresses.store_url import Address, Kind, parse

TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", Address(Kind.SERVER, (("127.0.0.1", 6379),))),
        ("redis://h", Address(Kind.SERVER, (("h", 6379),))),
        ("valkey://h/", Address(Kind.SERVER, (("h", 6379),))),
        ("redis://h:1/3", Address(Kind.SERVER, (("h", 1),), db=3)),
        ("redis://h?db=3", Address(Kind.SERVER, (("h", 6379),), db=3)),
        ("redis://h?virtual_host=3", Address(Kind.SERVER, (("h", 6379),), db=3)),
        ("redis://[::1]:1/0", Address(Kind.SERVER, (("::1", 1),))),
        (
            "redis://u%3A:p%40ss@h",
            Address(Kind.SERVER, (("h", 6379),), username="u:", password="p@ss"),
        ),
        ("redis://:a;b@h", Address(Kind.SERVER, (("h", 6379),), password="a;b")),
        ("rediss://h", Address(Kind.SERVER, (("h", 6379),), tls=True)),
        (
            "redis://h?ssl_ca_certs=/ca.pem",
            Address(Kind.SERVER, (("h", 6379),), tls=True, options={"ssl_ca_certs": "/ca.pem"}),
        ),
        ("unix:///r.sock?db=1", Address(Kind.SOCKET, path="/r.sock", db=1)),
        ("unix://u:p@/r%20s", Address(Kind.SOCKET, path="/r s", username="u", password="p")),
        ("redis+socket:///r?virtual_host=1", Address(Kind.SOCKET, path="/r", db=1)),
        (
            "sentinel://:p@h1;h2:1;h3/2?master_name=m&sentinel_password=s&min_other_sentinels=1",
            Address(
                Kind.SENTINEL,
                (("h1", 26379), ("h2", 1), ("h3", 26379)),
                db=2,
                password="p",
                master_name="m",
                sentinel_options={"password": "s"},
                min_other_sentinels=1,
            ),
        ),
        (
            "sentinel://h1:26379;sentinel://h2:26379/2?master_name=m&ssl=true&sentinel_ssl=yes",
            Address(
                Kind.SENTINEL,
                (("h1", 26379), ("h2", 26379)),
                db=2,
                tls=True,
                master_name="m",
                sentinel_options={"ssl": True},
            ),
        ),
    ],
)
def test_a_url_is_read_as_this_address(url, address):
    assert parse(url) == address
    assert parse(str(address)) == address


@pytest.mark.parametrize("spelling", ["CERT_NONE", "none", "None", "cert_none"])
def test_certificate_checks_have_the_spellings_of_celery_and_redis_py(spelling):
    address = parse(f"rediss://h?ssl_cert_reqs={spelling}")
    assert address.options == {"ssl_cert_reqs": ssl.CERT_NONE}
    assert not address.verified


def test_certificates_are_verified_by_default():
    assert parse("rediss://h").verified


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("amqp://u:s3cret@h", "not a Redis URL"),
        ("h:6379", "not a Redis URL"),
        ("redis://:s3cret/x@h", "write '/' as %2F"),
        ("redis://:s3cret#x@h", "'#' as %23"),
        ("redis://:s3cret@h1;redis://:s3cret@h2", "names 2 servers"),
        ("redis://h1,rediss://h2", "two kinds"),
        ("redis://:s3cret@h/shop", "'shop' is not the number of a database"),
        ("redis://:s3cret@h?colour=red", "'colour' is not an option for a server. Known: .*ssl"),
        ("redis://h?master_name=m", "'master_name' is not an option"),
        ("redis://h?ssl_cert_reqs=maybe", "ssl_cert_reqs: 'maybe' is not one of required"),
        ("redis://h?health_check_interval=often", "health_check_interval: "),
        ("redis://h?socket_timeout=1", "socket_timeout: 1 s is below 3 s"),
        ("redis://h?socket_timeout=nan", "socket_timeout: nan s is below 3 s"),
        ("unix://?db=1", "no path of a socket"),
        ("unix:///r?ssl=true", "a Unix socket does not have"),
        ("sentinel://:s3cret@h1;h2", r"add \?master_name="),
        ("sentinel://:s3cret@h1;:other@h2?master_name=m", "more than one password"),
        ("sentinel://h1/1;h2/2?master_name=m", "more than one db"),
    ],
)
def test_an_impossible_url_is_refused(url, says):
    with pytest.raises(ValueError, match=says) as caught:
        parse(url)
    assert "s3cret" not in str(caught.value)


@given(
    username=TEXT,
    password=TEXT,
    path=TEXT,
    db=st.integers(0, 99),
    name=TEXT,
    host=st.sampled_from(["h", "::1", "10.0.0.1"]),
    port=st.integers(1, 65535),
    tls=st.booleans(),
    cert=st.sampled_from(list(ssl.VerifyMode)),
)
def test_a_written_address_is_read_as_the_same(
    username, password, path, db, name, host, port, tls, cert
):
    options = {"ssl_cert_reqs": cert, "ssl_min_version": ssl.TLSVersion.TLSv1_2} if tls else {}
    who = {"username": username, "password": password, "db": db}
    for address in (
        Address(Kind.SERVER, ((host, port),), tls=tls, options=options, **who),
        Address(Kind.SOCKET, path=f"/x{path}", options={"client_name": name}, **who),
        Address(
            Kind.SENTINEL,
            ((host, port), ("other", 1)),
            tls=tls,
            options=options,
            master_name=name,
            sentinel_options={"password": password, "ssl": True},
            **who,
        ),
    ):
        assert parse(str(address)) == address
