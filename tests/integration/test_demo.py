"""`jit demo`: the story it tells holds, is told in words, and a command can join in."""

from collections.abc import Iterator

import pytest

from bot import cli
from bot.demo import launch, tour

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[launch.Demo]:
    with launch.running(tmp_path_factory.mktemp("demo")) as running:
        yield running


def test_the_tour_holds_and_tells_what_a_reader_would_see(demo: launch.Demo) -> None:
    told: list[str] = []
    played = tour.Tour(demo, tell=told.append)
    played.play()
    assert played.held, told[-1]
    assert not [line for line in told if "<!date" in line or "&lt;" in line]
    assert not [check for check in played.checks if len(check.seen) > tour.SHOWN]


def test_the_settings_it_leaves_serve_a_command_and_nobody_else(
    demo: launch.Demo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in demo.environ:
        monkeypatch.delenv(key, raising=False)
    assert demo.settings.stat().st_mode & 0o077 == 0
    for command in (["list"], ["reconcile"], ["sweep", "--target-url-env", "SHOP_DATABASE_URL"]):
        assert cli.run(["--env-file", str(demo.settings), *command]) == 0
    assert "Record and reality agree." in capsys.readouterr().out
