"""Oracle, expert and dead ends on ALFWorld's real games."""

import random

from layergym.envs.alfworld.engine import Play
from layergym.envs.alfworld.expert import advise
from layergym.envs.alfworld.game import Game, build_game
from layergym.envs.alfworld.memory import Memory
from layergym.envs.alfworld.oracle import plan_moves
from layergym.envs.alfworld.records import Listed


def games(listed: Listed, every: int = 1) -> list[Game]:
    return [build_game(*listed.load(id)) for id in listed.ids[::every]]


def test_the_oracle_wins_every_game(valid_seen: Listed) -> None:
    for game in games(valid_seen):
        play = Play(game)
        for command in plan_moves(play) or ():
            play.step(command)
        assert play.won, game.sentence


def test_the_oracle_wins_training_games(train: Listed) -> None:
    for game in games(train, every=25):
        assert plan_moves(Play(game)), game.sentence


def test_the_expert_wins_nearly_always_within_fifty_turns(valid_seen: Listed) -> None:
    won = 0
    for game in games(valid_seen):
        play = Play(game)
        memory = Memory(play.look_around())
        for _ in range(50):
            command = advise(memory, game.dialect)
            assert command is not None
            memory.observe(command, play.step(command))
            if play.won:
                break
        won += play.won
    assert won >= 0.97 * 140


def test_the_expert_repairs_what_others_did(valid_seen: Listed) -> None:
    won = tried = 0
    for index, game in enumerate(games(valid_seen, every=4)):
        rng = random.Random(index)
        play = Play(game)
        memory = Memory(play.look_around())
        for turn in range(80):
            if turn < 15:
                command: str | None = rng.choice(play.admissible())
            else:
                command = advise(memory, game.dialect)
            assert command is not None
            memory.observe(command, play.step(command))
            if play.won:
                break
        tried += plan_moves(play) is not None
        won += play.won
    assert won >= 0.9 * tried


def test_only_things_that_fit_nowhere_make_a_dead_end(valid_seen: Listed) -> None:
    ends = 0
    for index, game in enumerate(games(valid_seen)):
        rng = random.Random(index)
        play = Play(game)
        for _ in range(40):
            here = [c for c in play.admissible() if not c.startswith("go to ")]
            play.step(rng.choice(here if rng.random() < 0.7 else play.admissible()))
        if plan_moves(play) is None:
            held = play.state.held
            assert held is not None and not game.fits.get(held)
            ends += 1
    assert ends > 0
