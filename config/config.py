"""The whole configuration. Only the composition root takes it whole: services take their section."""

from __future__ import annotations

from dataclasses import dataclass

from config.appservices import AppservicesConfig
from config.calls import CallsConfig, TurnConfig
from config.database import DatabaseConfig
from config.directory import DirectoryConfig, PresenceConfig
from config.email import EmailConfig
from config.federation import FederationConfig, KeysConfig
from config.identity import IdentityConfig
from config.im import ImConfig, WebClientConfig
from config.listeners import ListenersConfig
from config.media import MediaConfig
from config.passwords import HashingConfig, PasswordConfig
from config.push import PushConfig
from config.rate_limits import RateLimitsConfig
from config.registration import RegistrationConfig
from config.resources import CachesConfig, LimitsConfig, LogConfig, RedisConfig
from config.retention import KeepingConfig
from config.rooms import RoomsConfig
from config.schema import flat, flat_required, part
from config.server import ServerConfig
from config.sms import SmsConfig
from config.tokens import TokensConfig
from config.well_known import WellKnownConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Every section."""

    server: ServerConfig = flat_required()
    listeners: ListenersConfig = flat(ListenersConfig())
    database: DatabaseConfig = part(DatabaseConfig(), "")
    log: LogConfig = part(LogConfig(), "")
    registration: RegistrationConfig = flat(RegistrationConfig())
    passwords: PasswordConfig = part(PasswordConfig(), "", key="password_config")
    hashing: HashingConfig = flat(HashingConfig())
    tokens: TokensConfig = flat(TokensConfig())
    identity: IdentityConfig = flat(IdentityConfig())
    rooms: RoomsConfig = flat(RoomsConfig())
    directory: DirectoryConfig = flat(DirectoryConfig())
    presence: PresenceConfig = part(PresenceConfig(), "")
    keeping: KeepingConfig = flat(KeepingConfig())
    rate_limits: RateLimitsConfig = flat(RateLimitsConfig())
    limits: LimitsConfig = part(LimitsConfig(), "")
    caches: CachesConfig = part(CachesConfig(), "")
    keys: KeysConfig = flat(KeysConfig())
    federation: FederationConfig = flat(FederationConfig())
    well_known: WellKnownConfig = flat(WellKnownConfig())
    media: MediaConfig = flat(MediaConfig())
    email: EmailConfig = part(EmailConfig(), "")
    sms: SmsConfig = part(SmsConfig(), "")
    push: PushConfig = part(PushConfig(), "")
    turn: TurnConfig = flat(TurnConfig())
    calls: CallsConfig = flat(CallsConfig())
    appservices: AppservicesConfig = flat(AppservicesConfig())
    im: ImConfig = part(ImConfig(), "")
    web_client: WebClientConfig = part(WebClientConfig(), "")
    redis: RedisConfig = part(RedisConfig(), "")
