"""The same texts, commands and wins as alfworld's own engine, which runs beside ours."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from layergym.envs.alfworld import ALFWorld
from layergym.envs.alfworld.games import Games, open_games
from layergym.envs.alfworld.parity import check_parity
from layergym.envs.alfworld.records import Listed
from layergym.envs.alfworld.reference import EngineError, ReferenceServer


def assert_equal(games: Games, ids: Sequence[str], version: str, steps: int) -> None:
    results = list(check_parity(games, ids, version=version, steps=steps))
    assert [r.difference for r in results] == [None] * len(ids)
    # Random play can end where no game can be won any more, but seldom.
    assert sum(r.won for r in results) >= 0.8 * len(ids)


@pytest.mark.parametrize(("version", "first"), [("0.4", 0), ("0.4", 3), ("0.3", 1)])
def test_real_games_play_alike(valid_seen: Listed, version: str, first: int) -> None:
    ids = valid_seen.ids[first::10][: 12 if version == "0.3" else 14]
    assert_equal(valid_seen, ids, version, steps=20)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("version", ["0.4", "0.3"])
def test_a_hundred_and_fifty_training_games_play_alike(train: Listed, version: str) -> None:
    assert_equal(train, train.ids[::24], version, steps=40)


@pytest.mark.parametrize("version", ["0.4", "0.3"])
def test_generated_games_play_alike(version: str) -> None:
    games = open_games("generated", "test", size=6, max_receptacles=12)
    assert_equal(games, games.ids, version, steps=30)


def test_what_the_comparison_saves_the_original_changes_nothing_it_says() -> None:
    problem, sentence = open_games(
        "generated", "train", size=1, max_receptacles=8, num_objects=8
    ).load("gen/train/r8-o8/pick_two_obj_and_place/000000")
    with ReferenceServer() as plain, ReferenceServer(remember=True) as quick:
        game = {"problem": problem, "sentence": sentence, "version": "0.4", "shuffle_seed": 1}
        said = plain.ask(**game)
        assert quick.ask(**game) == said
        for turn in range(12):
            command = said["admissible"][(7 * turn) % len(said["admissible"])]
            said = plain.ask(command=command)
            assert quick.ask(command=command) == said


def test_games_that_a_log_calls_alike_are_not_played_again(tmp_path: Path) -> None:
    games = open_games("generated", "train", size=2, max_receptacles=6)
    log = tmp_path / "parity.jsonl"
    assert len(list(check_parity(games, games.ids[:1], steps=4, log=log))) == 1
    again = list(check_parity(games, games.ids, steps=4, log=log))
    assert [result.id for result in again] == list(games.ids[1:])
    assert list(check_parity(games, games.ids, steps=4, log=log)) == []


def test_a_failure_of_the_original_is_reported() -> None:
    with ReferenceServer() as server, pytest.raises(EngineError, match="KeyError"):
        server.ask(problem="")


def test_the_environment_runs_on_the_original_engine() -> None:
    settings = {"kinds": ["look_at_obj_in_light"], "size": 1, "max_receptacles": 6}
    native = ALFWorld(**settings)  # type: ignore[arg-type]
    original = ALFWorld(**settings, engine="alfworld")  # type: ignore[arg-type]
    task = {"task": native.tasks[0]}
    assert original.reset(options=task) == native.reset(options=task)
    twin = None
    over = False
    while not over:
        action = native.expert()
        assert action is not None and original.expert() == action
        assert original.admissible() == native.admissible()
        assert original.state_key() == native.state_key()
        outcome = native.step(action)
        assert original.step(action) == outcome
        over = outcome[2]
        if twin is None:
            twin = original.clone()
            assert twin.admissible() == native.admissible()
    assert outcome[4]["success"]
    original.close()
    assert twin is not None
    twin.close()
