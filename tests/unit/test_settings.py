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


def test_a_missing_file_and_a_store_elsewhere_are_refused(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="cannot read"):
        Settings.load(tmp_path / "none.toml", {})
    with pytest.raises(ConfigurationError, match="folders only"):
        Settings.load(None, {"SMCATALOG_STORE": "s3://bucket/maps"})


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
