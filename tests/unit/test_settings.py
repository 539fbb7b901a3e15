from pathlib import Path

import pytest

from smcatalog.core.errors import ConfigurationError
from smcatalog.core.settings import Settings


def test_the_environment_sets_and_the_file_wins(tmp_path: Path):
    config = tmp_path / "settings.toml"
    config.write_text('home = "here"\n')
    env = {"SMCATALOG_HOME": "/elsewhere", "SMCATALOG_DATABASE_URL": "postgresql://a@b/c"}
    settings = Settings.load(config, env)
    assert settings.home == tmp_path / "here"
    assert settings.store == tmp_path / "here" / "store"
    assert settings.database_url == "postgresql://a@b/c"
    assert Settings.load(None, env).home == Path("/elsewhere")


def test_the_store_is_set_on_its_own():
    settings = Settings.load(None, {"SMCATALOG_HOME": "/h", "SMCATALOG_STORE": "/s"})
    assert (settings.home, settings.store) == (Path("/h"), Path("/s"))


def test_two_empty_settings_are_the_platforms_default():
    assert Settings.load(None, {}).home.name == "smcatalog"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hom = 'x'", "'hom' is not a setting"),
        ("home = 3", "must be a text"),
        ("home = ", "not valid TOML"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, said: str):
    config = tmp_path / "settings.toml"
    config.write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        Settings.load(config, {})


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="cannot read"):
        Settings.load(tmp_path / "none.toml", {})


def test_the_webhooks_secret_is_a_file_beside_the_settings_and_its_address_is_not_shown(
    tmp_path: Path,
):
    config = tmp_path / "settings.toml"
    config.write_text(
        'webhook_url = "https://example.org/hook/unguessable"\nwebhook_secret_file = "secret"\n'
    )
    settings = Settings.load(config, {})
    assert settings.webhook_secret_file == tmp_path / "secret"
    assert settings.webhook_url is not None
    assert "unguessable" not in repr(settings)
    named = Settings.load(None, {"SMCATALOG_WEBHOOK_SECRET_FILE": "/run/secrets/webhook"})
    assert named.webhook_secret_file == Path("/run/secrets/webhook")


def test_the_store_may_be_a_bucket(tmp_path: Path):
    for written in ("s3://bucket/maps", "s3://bucket/maps/"):
        assert Settings.load(None, {"SMCATALOG_STORE": written}).store == "s3://bucket/maps"
    config = tmp_path / "settings.toml"
    config.write_text('store = "s3://my.bucket-1"\n')
    assert Settings.load(config, {"SMCATALOG_STORE": "/s"}).store == "s3://my.bucket-1"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("gs://bucket/maps", "neither a folder nor on S3"),
        ("https://key:topsecret@host/maps", "neither a folder nor on S3"),
        ("s3://key:topsecret@bucket/maps", "take it out"),
        ("s3://bucket/maps?secret=topsecret", "'\\?'"),
        ("s3://bucket/maps#topsecret", "'#'"),
        ("s3:///maps", "no name of a bucket"),
        ("s3://Bucket/maps", "no name of a bucket"),
        ("s3://127.0.0.1/maps", "no name of a bucket"),
        ("s3://localhost:9000/maps", "AWS_ENDPOINT_URL"),
        ("s3://ab/maps", "no name of a bucket"),
        ("s3://bucket/a//b", "cannot be part"),
        ("s3://bucket/../b", "cannot be part"),
        ("s3://bucket/.hidden", "cannot be part"),
        ("s3://bucket/a b", "cannot be part"),
        ("s3://[", "address is none"),
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_secrets(address: str, said: str):
    with pytest.raises(ConfigurationError, match=said) as refusal:
        Settings.load(None, {"SMCATALOG_STORE": address})
    assert "topsecret" not in str(refusal.value)
