"""TextWorld's games, on a game that tw-make made."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import layergym as lg
from layergym.agents import ExpertAgent, Job, rollout


@pytest.fixture(scope="module")
def game(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A game of one room and a quest of two commands, with its description beside it."""
    return made(tmp_path_factory.mktemp("games") / "quest.z8", rooms=1, objects=2, quest=2)


def made(path: Path, *, rooms: int, objects: int, quest: int) -> Path:
    """A game of this many rooms, objects, and commands to win."""
    size = {"world-size": rooms, "nb-objects": objects, "quest-length": quest, "seed": 4}
    options = [f"--{name}={value}" for name, value in size.items()]
    tool = Path(sys.executable).with_name("tw-make")
    subprocess.run([tool, "custom", *options, "--output", path], check=True, capture_output=True)
    return path


def test_the_walkthrough_wins_for_all_points(game: Path) -> None:
    [played] = rollout(
        ExpertAgent(), lambda: lg.make("textworld-v0", path=str(game)), [Job("quest", 0)]
    )
    assert played.success and played.total_reward == 1.0
    assert all(turn.valid for turn in played.turns)
    assert "$" not in played.turns[0].observation  # no banner drawn in signs
    assert ">" not in "".join(turn.observation for turn in played.turns)


def test_a_copy_is_in_the_same_state_and_goes_its_own_way(game: Path) -> None:
    env = lg.make("textworld-v0", path=str(game))
    env.reset(seed=0)
    first = env.expert()
    assert first
    env.step(first)
    twin = env.clone()
    assert twin.state_key() == env.state_key()
    before = env.state_key()
    twin.step(str(twin.expert()))
    assert env.state_key() == before
    env.close()
    twin.close()


def test_nonsense_costs_a_turn_and_breaks_nothing(game: Path) -> None:
    env = lg.make("textworld-v0", path=str(game))
    env.reset(seed=0)
    for action in ("", "x" * 10_000, "\x00\x1b[2J", "sing a song", "look\nlook"):
        _, reward, terminated, _, info = env.step(action)
        assert (reward, terminated, info["success"]) == (0.0, False, False)
    assert env.step("look")[4]["valid"]
    env.close()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A game of four rooms."""
    return made(tmp_path_factory.mktemp("house") / "house.z8", rooms=4, objects=8, quest=4)


OUTSIDE = [
    "save",
    "restore",
    "restart",
    "quit",
    "q",
    "undo",
    "again",
    "g",
    "oops lamp",
    "script",
    "script on",
    "unscript",
    "transcript",
    "transcript on",
    "noscript",
    "recording on",
    "replay",
    "verify",
    "version",
    "score",
    "superbrief",
    "verbose",
    "notify",
    "pronouns",
    "actions on",
    "showme",
    "purloin key",
    "gonear key",
    "abstract key to me",
    "tree",
    "scope",
    "restrict commands",
    "tw-print player info",
    "tw-trace-actions",
    "tw-extra-infos score",
]
SEVERAL = (
    "go north then go south",
    "go north. go south",
    "go north.go south",
    "go north; go south",
    "go north, go south",
    "go north and go south",
    "go north\ngo south",
    "then go north",
    "drop knife. take knife",
    "drop all",
    "drop knife and examine coffer",
    "say hello",
    "go north.",
    "blargh",
    "blargh",
)


def test_one_line_is_one_command_or_nothing(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    env = lg.make("textworld-v0", path=str(house), max_turns=999)
    env.reset(seed=0)
    for good in ("look", "go north"):
        assert env.step(good)[4]["valid"]
        before, known = env.state_key(), env.admissible()
        for line in (*OUTSIDE, *SEVERAL):
            _, reward, terminated, _, info = env.step(line)
            assert (line, reward, terminated, info["valid"]) == (line, 0.0, False, False)
            assert (line, env.state_key(), env.admissible()) == (line, before, known)
    assert list(tmp_path.iterdir()) == []
    over = False
    while not over:  # The game is where it is believed to be: its own walkthrough wins.
        _, _, over, _, info = env.step(str(env.expert()))
    assert info["success"]
    env.close()


def test_other_words_for_a_command_that_is_listed_will_do(house: Path) -> None:
    env = lg.make("textworld-v0", path=str(house))
    for action, same in {
        "N": "go north",
        " walk  North ": "go north",
        "x the knife": "examine knife",
        "look at knife": "examine knife",
        "i": "inventory",
    }.items():
        env.reset(seed=0)
        text = env.step(action)[0]
        env.reset(seed=0)
        assert env.step(same)[0] == text != "That does nothing here."
    env.close()


def test_games_are_split_by_folder_or_by_name(game: Path, tmp_path: Path) -> None:
    for name in "abcdefghij":
        for suffix in (".z8", ".json"):
            shutil.copy(game.with_suffix(suffix), tmp_path / f"{name}{suffix}")
    found = {
        s: lg.make("textworld-v0", path=str(tmp_path), split=s).tasks for s in ("train", "test")
    }
    assert [len(found["train"]), len(found["test"])] == [8, 2]
    assert not set(found["train"]) & set(found["test"])
    (tmp_path / "test").mkdir()
    for suffix in (".z8", ".json"):
        shutil.copy(game.with_suffix(suffix), tmp_path / "test" / f"z{suffix}")
    assert lg.make("textworld-v0", path=str(tmp_path), split="test").tasks == ["z"]
    with pytest.raises(lg.InputError, match="tw-make"):
        lg.make("textworld-v0", path=str(tmp_path / "none"))
    (tmp_path / "test" / "z.json").unlink(missing_ok=True)
    with pytest.raises(lg.InputError, match=r"z\.json"):
        lg.make("textworld-v0", path=str(tmp_path), split="test")


@pytest.mark.slow
def test_it_conforms(game: Path) -> None:
    assert lg.conforms(lambda: lg.make("textworld-v0", path=str(game))) == []
