"""The only reader of the environment."""

import difflib
import ipaddress
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# Resolved by service.folder_broker.
FOLDER_SCHEME = "cleavefolder"
_BROKERS = {"redis", "rediss"}
# The command line reads these itself.
_OF_THE_COMMAND_LINE = ("CLEAVE_URL", "CLEAVE_API_KEY")
_DRIVERS = {("sqlite", "pysqlite"), ("postgresql", "psycopg")}


class Diagnostics(BaseSettings):
    """What a process tells about its work: all that a runner needs of the settings."""

    # Hidden, because a refused value may be a URL with a password.
    model_config = SettingsConfigDict(
        env_prefix="CLEAVE_", env_file=None, env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    otel: bool = Field(False, description="Send traces by OTLP, whereto the variables OTEL_* say.")


class Settings(Diagnostics):
    """Every setting is an environment variable `CLEAVE_<NAME>`; the defaults are the embedded mode."""

    data_dir: Path = Field(Path(".cleave"), description="Where the embedded mode keeps everything.")
    database_url: str | None = Field(None, description="SQLAlchemy URL; default: SQLite in the data folder.")
    database_timeout_s: float = Field(
        20.0, ge=1, description="PostgreSQL: a server that says nothing for this long counts as away."
    )
    broker_url: str | None = Field(None, description="redis://...; default: a folder in the data folder.")
    broker_timeout_s: float = Field(
        5.0, ge=1, description="Redis: a server that says nothing for this long counts as away."
    )
    broker_prefix: str = Field("cleave:", description="Prefix of every key in Redis.")
    artifact_url: str | None = Field(
        None, description="file:///... or s3://BUCKET/PREFIX; default: a folder in the data folder."
    )
    s3_endpoint_url: str | None = Field(None, description="An S3-compatible server; default: Amazon's.")
    s3_redirect: bool = Field(False, description="Send downloads to presigned URLs of the bucket.")
    s3_cache_mib: int = Field(4096, ge=0, description="What a worker keeps of the bucket on its own disk.")
    min_free_mib: int = Field(
        64, ge=0, description="Not ready while the artifact folder has less space than this."
    )
    max_upload_mib: int = Field(4096, ge=1, description="Size of one uploaded file.")
    max_dataset_mib: int = Field(16384, ge=1, description="Size of one uploaded dataset as it is kept.")
    data_root: Path | None = Field(None, description="Folder with torchvision datasets.")
    host: str = "127.0.0.1"
    port: int = Field(8321, ge=0, le=65535)
    public_url: str | None = Field(
        None, pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$", description="How callers reach the API, for links."
    )
    auth: bool = Field(True, description="Require an API key. Off only on a loopback host.")
    secret_key: SecretStr | None = Field(
        None, description="Pepper of key hashes; default: a file in the data folder."
    )
    lease_ttl_s: float = Field(60.0, gt=0, description="A worker silent for this long loses its job.")
    publish_timeout_s: float = Field(
        30.0, gt=0, description="Publish an unclaimed job again after this long."
    )
    dispatch_interval_s: float = Field(1.0, gt=0)
    cancel_grace_s: float = Field(
        8.0, gt=0, description="From the request to stop until the runner is killed."
    )
    stall_timeout_s: float = Field(
        600.0, gt=0, description="A training silent for this long is stopped and tried again; loading, x 6."
    )
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda:\d{1,3}|(GPU|MIG)-[0-9A-Za-z/-]{1,90})$",
        description="What a worker's runners may see: auto, cpu, cuda:N, GPU-... or MIG-...",
    )
    runner_memory_mb: int = Field(
        0, ge=0, description="A runner that holds more memory (RSS) than this is killed; 0 = no limit."
    )
    max_attempts: int = Field(3, ge=1, description="Attempts that may fail for the job's own reasons.")
    max_infra_attempts: int = Field(
        20, ge=1, description="Attempts that may be lost with their machine or process."
    )
    warm_runner_jobs: int = Field(50, ge=1, description="A warm runner is replaced after this many jobs.")
    ready_runner: bool = Field(
        True, description="Start the next training's runner ahead, so that no job waits for torch to load."
    )
    tenant_max_running: int | None = Field(
        None, ge=0, description="Jobs of one tenant that run at a time, unless it has its own limit."
    )
    tenant_max_queued: int | None = Field(
        None, ge=0, description="Jobs of one tenant that wait, unless it has its own limit."
    )
    tenant_max_stored_mib: int | None = Field(
        None, ge=0, description="What one tenant may store, unless it has its own limit."
    )
    checkpoints_kept_days: float | None = Field(
        None, gt=0, description="Checkpoints of jobs that ended longer ago go; none: they stay for a retry."
    )
    events_kept_days: float | None = Field(
        None, gt=0, description="Events and curves of jobs that ended longer ago go; none: they stay."
    )
    rate_limit: str | None = Field(
        None,
        pattern=r"^[1-9][0-9]{0,8}/(second|minute|hour|day)$",
        description="Requests of one API key, e.g. 600/minute; none: any number.",
    )
    max_streams_per_key: int = Field(
        100, ge=1, description="Event streams and requests that wait that one key may have open."
    )
    audit_kept_days: float | None = Field(
        365.0, ge=1, description="Rows of the audit log older than this go; none: they stay."
    )
    webhook_networks: str = Field(
        "",
        description="Besides the public internet: networks that messages may go to, e.g. 10.0.0.0/8,::1/128.",
    )
    webhook_timeout_s: float = Field(10.0, gt=0, description="A receiver must have answered by then.")
    gc_grace_hours: float | None = Field(
        None, gt=0, description="Stored files that nothing names any more go after so long; none: they stay."
    )

    @field_validator("database_url")
    @classmethod
    def _database_is_supported(cls, url: str | None) -> str | None:
        if url and not _is_supported(url):
            raise ValueError("must be sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME")
        return url

    @field_validator("broker_url")
    @classmethod
    def _broker_is_supported(cls, url: str | None) -> str | None:
        if url and not _is_redis(url):
            raise ValueError("must be redis://HOST:6379/0 or rediss://...")
        return url or None

    @field_validator("artifact_url")
    @classmethod
    def _store_is_supported(cls, url: str | None) -> str | None:
        if url and not re.fullmatch(r"file:///.+|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^?#]*)?", url):
            raise ValueError("must be file:///FOLDER or s3://BUCKET/PREFIX")
        return url or None

    @field_validator("webhook_networks")
    @classmethod
    def _networks_are_networks(cls, text: str) -> str:
        _networks(text)
        return text

    @cached_property
    def allowed_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """`webhook_networks`, read."""
        return _networks(self.webhook_networks)

    @cached_property
    def home(self) -> Path:
        """The data folder, absolute."""
        return self.data_dir.expanduser().absolute()

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'cleave.db'}"

    @property
    def resolved_broker_url(self) -> str:
        return self.broker_url or f"{FOLDER_SCHEME}://"

    @property
    def stores_in_s3(self) -> bool:
        return (self.artifact_url or "").startswith("s3://")

    @property
    def artifact_root(self) -> Path:
        """Folder of the local artifact store; of a bucket, what this machine keeps beside it."""
        if self.artifact_url is None or self.stores_in_s3:
            return self.home / "artifacts"
        return Path(self.artifact_url.removeprefix("file://"))

    @property
    def staging_root(self) -> Path:
        """Where running attempts write; nothing here is visible to callers."""
        return self.artifact_root / "staging"

    @property
    def upload_root(self) -> Path:
        """Where parts are written while they arrive."""
        return self.artifact_root / "uploads"

    @property
    def checkpoint_root(self) -> Path:
        """One folder per job, shared by its attempts."""
        return self.artifact_root / "checkpoints"

    @property
    def broker_dir(self) -> Path:
        """Message folder of the filesystem broker."""
        return self.home / "broker"


def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def _is_redis(url: str) -> bool:
    try:
        parsed = urlsplit(url)
        return parsed.scheme in _BROKERS and bool(parsed.hostname) and parsed.port != 0
    except ValueError:  # a port that is no number, a bracket that closes nothing
        return False


def _is_supported(url: str) -> bool:
    from sqlalchemy.engine import make_url  # not for a runner, which reads its `Diagnostics` here
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
        return (parsed.get_backend_name(), parsed.get_driver_name()) in _DRIVERS
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        return False


def unknown_variables() -> list[tuple[str, str | None]]:
    """Variables that look like a setting and are none, each with the one that may be meant."""
    known = [*(f"CLEAVE_{name.upper()}" for name in Settings.model_fields), *_OF_THE_COMMAND_LINE]
    found = sorted(name for name in os.environ if name.startswith("CLEAVE_") and name not in known)
    ends = {name.removeprefix("CLEAVE_"): name for name in known}  # what all begin with makes nothing alike
    meant = [difflib.get_close_matches(name.removeprefix("CLEAVE_"), ends, 1) for name in found]
    return [(name, ends[alike[0]] if alike else None) for name, alike in zip(found, meant, strict=True)]


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment in which a child process reads these settings, whatever they were made from."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLEAVE_")}
    for name, value in settings:
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        if plain is not None:
            environment[f"CLEAVE_{name.upper()}"] = str(plain)
    return environment | {"CLEAVE_DATA_DIR": str(settings.home)}
