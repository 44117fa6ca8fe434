"""Phone numbers, passwords and registration flows: what needs no server."""

from __future__ import annotations

import bcrypt
import pytest

from config.passwords import HashingConfig, PasswordConfig
from homeserver.users.passwords import Passwords
from homeserver.users.phone_numbers import canonical_number
from homeserver.users.registration_policy import EMAIL, PHONE, RegistrationPolicy
from tests.unit.users.account_server import inline

CHEAP = HashingConfig(bcrypt_rounds=4)


@pytest.mark.parametrize(
    ("phone", "country", "canonical"),
    [
        ("+44 7700 900123", None, "447700900123"),
        ("07700900123", "GB", "447700900123"),
        ("07700900123", "gb", "447700900123"),
        ("0044-7700-900123", "FR", "447700900123"),
        ("(0)30 123456", "DE", "4930123456"),
        ("06 1234 5678", "IT", "390612345678"),
        ("8 (912) 345-67-89", "RU", "79123456789"),
        ("1 212 555 0100", "US", "12125550100"),
        ("212 555 0100", "US", "12125550100"),
        ("06 20 123 4567", "HU", "36201234567"),
        ("447700900123", None, "447700900123"),
        ("07700900123", "ZZ", None),
        ("", "GB", None),
        ("call me", "GB", None),
        ("+٤٤٧٧", None, None),
        ("123", None, None),
        ("1" * 16, None, None),
    ],
)
def test_phone_numbers(phone: str, country: str | None, canonical: str | None) -> None:
    assert canonical_number(phone, country) == canonical


async def test_a_pepper_is_part_of_every_password() -> None:
    peppered = Passwords(inline, PasswordConfig(pepper="salt lake"), CHEAP)
    plain = Passwords(inline, PasswordConfig(), CHEAP)
    hashed = await peppered.hash("secret")
    assert await peppered.is_correct("secret", hashed)
    assert not await plain.is_correct("secret", hashed)
    assert await plain.is_correct("secretsalt lake", hashed)
    migrated = bcrypt.hashpw(b"secretsalt lake", bcrypt.gensalt(4)).decode()
    assert await peppered.is_correct("secret", migrated)


async def test_bcrypt_ignores_what_follows_byte_72() -> None:
    passwords = Passwords(inline, PasswordConfig(), CHEAP)
    migrated = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert await passwords.is_correct("x" * 80, migrated)


@pytest.mark.parametrize("stored", ["", "$argon2id$nonsense", "$2b$nonsense", "nonsense"])
async def test_a_broken_hash_lets_nobody_in(stored: str) -> None:
    passwords = Passwords(inline, PasswordConfig(), CHEAP)
    assert not await passwords.is_correct("secret", stored)
    assert passwords.needs_rehash(stored)


async def test_passwords_are_the_same_in_every_normal_form() -> None:
    passwords = Passwords(inline, PasswordConfig(), CHEAP)
    assert await passwords.is_correct("pa\u0308sswort", await passwords.hash("p\u00e4sswort"))


async def test_a_dearer_hash_is_wanted_when_the_cost_rises() -> None:
    hashed = await Passwords(inline, PasswordConfig(), CHEAP).hash("secret")
    assert not Passwords(inline, PasswordConfig(), CHEAP).needs_rehash(hashed)
    assert Passwords(inline, PasswordConfig(), HashingConfig(bcrypt_rounds=8)).needs_rehash(hashed)


@pytest.mark.parametrize(
    ("policy", "flows"),
    [
        (RegistrationPolicy(), [["m.login.dummy"]]),
        (RegistrationPolicy(requires_token=True), [["m.login.registration_token"]]),
        (
            RegistrationPolicy(requires_captcha=True, requires_token=True, requires_terms=True),
            [["m.login.recaptcha", "m.login.registration_token", "m.login.terms"]],
        ),
        (RegistrationPolicy(offers=[EMAIL]), [["m.login.dummy"], [EMAIL]]),
        (
            RegistrationPolicy(requires_terms=True, offers=[EMAIL, PHONE]),
            [["m.login.terms", "m.login.dummy"], ["m.login.terms", EMAIL], ["m.login.terms", PHONE]],
        ),
        (RegistrationPolicy(offers=[EMAIL], requires=[EMAIL]), [[EMAIL]]),
        (
            RegistrationPolicy(offers=[EMAIL, PHONE], requires=[EMAIL]),
            [[EMAIL, "m.login.dummy"], [EMAIL, PHONE]],
        ),
    ],
)
def test_flows_of_registration(policy: RegistrationPolicy, flows: list[list[str]]) -> None:
    assert policy.flows() == flows
