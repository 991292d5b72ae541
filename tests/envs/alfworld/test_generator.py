"""Generated games: a function of their id, whole, and with held-out rooms."""

import hashlib

import pytest

from layergym.base.errors import InputError
from layergym.envs.alfworld.engine import Play
from layergym.envs.alfworld.game import Game, build_game, introduction
from layergym.envs.alfworld.generator import REVISION, GameRecipe, generate, read_id
from layergym.envs.alfworld.oracle import plan_moves
from layergym.envs.alfworld.tables import KINDS

GOLDEN = (2, "2c0db51595653518")


def game(id: str) -> Game:
    return build_game(*generate(id))


@pytest.mark.parametrize(
    "id",
    [
        "gen/train/pick_two_obj_and_place/000017",
        "gen/valid/r8/look_at_obj_in_light/000000",
        "gen/test/o12/pick_and_place_simple/123456",
        "gen/test/r8-o12/pick_heat_then_place_in_recep/000001",
    ],
)
def test_id_and_recipe_stand_for_each_other(id: str) -> None:
    assert read_id(id).id == id


@pytest.mark.parametrize(
    "id",
    [
        "gen/train/pick_three/000017",
        "gen/dev/pick_and_place_simple/000017",
        "gen/train/pick_and_place_simple/17",
        "gen/train//pick_and_place_simple/000017",
        "gen/train/-/pick_and_place_simple/000017",
        "gen/train/r8-/pick_and_place_simple/000017",
        "gen/train/r4/pick_and_place_simple/000017",
    ],
)
def test_malformed_ids_are_refused(id: str) -> None:
    with pytest.raises(InputError):
        read_id(id)


def test_the_same_id_is_the_same_game() -> None:
    id = "gen/train/r12/pick_cool_then_place_in_recep/000003"
    assert generate(id) == generate(id)
    assert generate(id) != generate(id.replace("000003", "000004"))


def test_another_game_under_the_same_id_needs_another_revision() -> None:
    ids = [
        GameRecipe(split, kind, 7, *knobs).id
        for split in ("train", "test")
        for kind in KINDS
        for knobs in ((None, None), (8, 10))
    ]
    made = hashlib.sha256("".join("".join(generate(id)) for id in ids).encode()).hexdigest()
    assert (REVISION, made[:16]) == GOLDEN


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("receptacles", "objects"), [(None, None), (5, 3), (8, None), (None, 12)])
def test_games_satisfy_their_knobs_and_can_be_won(
    kind: str, receptacles: int | None, objects: int | None
) -> None:
    for number in range(4):
        made = game(GameRecipe("train", kind, number, receptacles, objects).id)
        if receptacles is not None:
            assert len(made.receptacles) <= receptacles
        if objects is not None:
            assert len(made.problem.all("inreceptacle")) == objects
        play = Play(made)
        way = plan_moves(play)
        assert way is not None and len(way) >= 3
        for command in way:
            assert not play.won
            play.step(command)
        assert play.won


def test_no_pair_is_half_done_at_the_start() -> None:
    for number in range(30):
        made = game(GameRecipe("train", "pick_two_obj_and_place", number).id)
        placed = {atom for atom in made.goal.clauses_with if atom[0] == "inreceptacle"}
        lying = {("inreceptacle", *fact) for fact in made.problem.all("inreceptacle")}
        assert placed and not placed & lying


@pytest.mark.parametrize("receptacles", [None, 8])
def test_no_room_of_one_split_occurs_in_another(receptacles: int | None) -> None:
    rooms = {
        split: {
            introduction(game(GameRecipe(split, kind, number, receptacles).id))
            for kind in KINDS
            for number in range(15)
        }
        for split in ("train", "valid", "test")
    }
    assert all(len(listed) > 30 for listed in rooms.values())
    assert not rooms["train"] & rooms["valid"]
    assert not rooms["train"] & rooms["test"]
    assert not rooms["valid"] & rooms["test"]
