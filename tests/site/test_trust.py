"""Defaults are closed (P-AUTH): what is not protected is accepted by a named person, in so many words."""

from __future__ import annotations

import pytest

SCADA = "devices/scada_1.toml"
SECURITY = 'security = "None"\nmode = "None"\ninsecure = "accepted-by=demo"\n'


def test_opc_ua_without_security_needs_a_name(site):
    site.replace(SCADA, 'insecure = "accepted-by=demo"\n', "")

    problem = site.only_error()

    assert (problem.key, problem.allowed) == ("device.insecure", '"accepted-by=NAME"')


def test_plain_mqtt_needs_a_name(site):
    site.replace("gateway.toml", 'insecure = "accepted-by=demo"\n', "")

    assert site.only_error().message == "cloud.insecure is missing: the link to the cloud is plain MQTT"


@pytest.mark.parametrize("words", ["yes", "true", "accepted-by=", "accepted-by= ", "accepted by demo", "Accepted-By=x"])
def test_nothing_but_the_words_counts_as_acceptance(site, words):
    site.replace(SCADA, "accepted-by=demo", words)

    assert site.only_error().key == "device.insecure"


def test_security_and_mode_are_both_none_or_neither(site):
    site.replace(SCADA, 'mode = "None"\n', "")

    assert site.only_error().key == "device.mode"


def test_a_secured_server_needs_no_file_for_the_trust_list_knows_it_and_the_gateway_makes_its_own_keys(site):
    site.replace(SCADA, SECURITY, "")

    assert site.errors() == []


def test_an_own_certificate_and_its_key_are_given_together(site):
    site.replace(
        SCADA,
        SECURITY,
        'server_certificate = "/etc/gatewayd/a.der"\ncertificate = "/etc/gatewayd/b.der"\n',
    )

    assert [p.key for p in site.errors()] == ["device.private_key"]


def test_a_pinned_certificate_must_be_there_unless_it_lives_on_the_gateway(site):
    site.replace(
        SCADA,
        SECURITY,
        'server_certificate = "keys/a.der"\ncertificate = "keys/b.der"\nprivate_key = "/etc/gatewayd/c.pem"\n',
    )
    site.write("keys/a.der", b"certificate")

    assert [(p.key, p.found) for p in site.errors()] == [("device.certificate", "'keys/b.der'")]


def test_an_acceptance_that_covers_nothing_is_noticed(site):
    site.replace("gateway.toml", "tls = false", "tls = true")

    assert [w.key for w in site.warnings() if w.file == "gateway.toml"] == ["cloud.insecure"]


def test_a_user_has_a_password_file_and_a_certificate_a_key(site):
    site.replace(SCADA, SECURITY, 'user = "gw"\n')
    site.replace("gateway.toml", "tls = false", 'tls = false\ncertificate_file = "/etc/gatewayd/c.pem"')

    assert [p.key for p in site.errors()] == ["device.password_file", "cloud.key_file"]


def test_a_user_certificate_and_its_key_are_given_together_and_alone(site):
    site.replace(SCADA, SECURITY, 'user_certificate = "/etc/gatewayd/user.der"\n')

    assert [p.key for p in site.errors()] == ["device.user_private_key"]


def test_a_session_has_one_user(site):
    pair = 'user_certificate = "/etc/gatewayd/user.der"\nuser_private_key = "/etc/gatewayd/user.pem"\n'
    site.replace(SCADA, SECURITY, f'{pair}user = "gw"\npassword_file = "/etc/gatewayd/password"\n')

    assert [p.key for p in site.errors()] == ["device.user_certificate"]


def test_a_user_is_never_shown_without_security(site):
    site.replace(SCADA, "timeout_ms", 'user = "gw"\npassword_file = "/etc/gatewayd/password"\ntimeout_ms')

    assert [p.key for p in site.errors()] == ["device.user"]


def test_a_key_of_a_witness_that_is_none_is_named(site):
    site.append("gateway.toml", '\n[journal]\nwitnesses = ["acme.example+1234+AQ=="]\n')

    problem = site.only_error()

    assert (problem.key, problem.allowed) == ("journal.witnesses[0]", "name+hash+key, of type 0x04")
