"""Where games come from, and what is said about broken ones."""

import json
import lzma
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from layergym.base.errors import InputError
from layergym.envs.alfworld.folders import build_index, read_folder
from layergym.envs.alfworld.games import open_games
from layergym.envs.alfworld.generator import generate
from layergym.envs.alfworld.records import Listed, read_compact
from layergym.envs.panels import panel
from layergym.envs.registry import make

ID = "pick_and_place_simple-Book-None-Desk-1/trial_1"


def game_file(folder: Path) -> Path:
    return folder / ID / "game.tw-pddl"


def change(folder: Path, **fields: Any) -> None:
    game = json.loads(game_file(folder).read_text("utf-8"))
    game_file(folder).write_text(json.dumps({**game, **fields}), encoding="utf-8")


def test_a_folder_and_its_index_hold_the_same_game(folder: Path, tmp_path: Path) -> None:
    index = tmp_path / "valid_seen_problems.jsonl.xz"
    report = build_index(folder, index)
    assert report.games == 1
    by_folder, by_file = Listed(read_folder(folder)), Listed(read_compact(index))
    assert by_folder.load(ID) == by_file.load(ID)
    assert by_folder.digest(ID) == by_file.digest(ID)


@pytest.mark.parametrize("up", [0, 1, 2])
def test_games_are_found_from_every_level_of_the_official_layout(folder: Path, up: int) -> None:
    source = [folder, *folder.parents][up]
    assert open_games(source, "valid_seen").ids == (ID,)


def test_the_official_cache_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALFWORLD_DATA", str(folder.parents[1]))
    env = make("ALFWorld-v0", games="official", split="valid_seen")
    env.reset(options={"task": ID})
    assert env.kind(ID) == "pick_and_place_simple"
    with pytest.raises(InputError, match=r"no ALFWorld games of train .* alfworld-download"):
        make("ALFWorld-v0", games="official", split="train")


def test_a_truncated_game_is_named(folder: Path) -> None:
    text = game_file(folder).read_text("utf-8")
    game_file(folder).write_text(text[: len(text) // 2], encoding="utf-8")
    with pytest.raises(InputError, match=r"game\.tw-pddl is cut off or corrupt"):
        open_games(folder, "valid_seen")


def test_a_corrupt_game_is_named(folder: Path) -> None:
    game_file(folder).write_bytes(b"\xff\xfe\x00" + game_file(folder).read_bytes())
    with pytest.raises(InputError, match=r"game\.tw-pddl is cut off or corrupt"):
        open_games(folder, "valid_seen")


@pytest.mark.parametrize("foreign", [[1, 2], {"solvable": True, "levels": 3}])
def test_a_foreign_json_file_is_named(folder: Path, foreign: object) -> None:
    game_file(folder).write_text(json.dumps(foreign), encoding="utf-8")
    with pytest.raises(InputError, match=r"game\.tw-pddl is not an ALFWorld game"):
        open_games(folder, "valid_seen")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("(:goal", "(:aim", "needs"),
        (")\n(:init", ")\n(:init\n(hovers agent1)", "hovers"),
        ("(atLocation agent1", "(examined agent1", "one agent"),
        ("(inReceptacle ", "(inReceptacle nothing_", "without declaring"),
        ("(exists", "(forall", "conjunction"),
    ],
)
def test_a_problem_that_alfworld_could_not_play_is_refused(
    folder: Path, old: str, new: str, said: str
) -> None:
    problem, _ = generate("gen/train/r8/pick_and_place_simple/000001")
    assert old in problem
    change(folder, pddl_problem=problem.replace(old, new, 1))
    env = make("ALFWorld-v0", games=folder, split="valid_seen")
    with pytest.raises(InputError, match=said):
        env.reset()


def test_a_cut_off_goal_is_refused(folder: Path) -> None:
    problem, _ = generate("gen/train/r8/pick_and_place_simple/000001")
    change(folder, pddl_problem=problem.rstrip()[:-60])
    with pytest.raises(InputError, match=f"{ID}: .* cut off"):
        make("ALFWorld-v0", games=folder, split="valid_seen").reset()


def test_the_index_says_what_is_odd(folder: Path, tmp_path: Path) -> None:
    change(folder, walkthrough=["go to mars 1"])
    text = game_file(folder).read_text("utf-8")
    assert "(holdsAny ?a)" in text
    game_file(folder).write_text(text.replace("(not (holdsAny ?a))", ""), encoding="utf-8")
    sliced = folder / "pick_and_place_simple-AppleSliced-None-Desk-1" / "trial_2"
    unsolved = folder / "pick_and_place_simple-Pen-None-Desk-1" / "trial_3"
    for trial in (sliced, unsolved):
        trial.mkdir(parents=True)
        (trial / "traj_data.json").write_text("{}", encoding="utf-8")
    (unsolved / "game.tw-pddl").write_text('{"solvable": false}', encoding="utf-8")
    report = build_index(folder, tmp_path / "index.jsonl.xz")
    assert report.games == 1
    assert report.left_out == {"movable receptacle or sliced object": 1, "unsolvable": 1}
    assert report.notes == (
        f"{ID} has an altered domain; it is played with ALFWorld's",
        "1 walkthroughs do not play in ALFWorld 0.4; use the oracle",
        "valid_seen has 1 games; ALFWorld's release has 140",
    )


@pytest.mark.parametrize("mark", ["absent", None])
def test_the_oracle_decides_where_nobody_marked_what_is_solvable(
    folder: Path, tmp_path: Path, mark: str | None
) -> None:
    game = json.loads(game_file(folder).read_text("utf-8"))
    del game["solvable"]
    if mark is None:
        game["solvable"] = None
    game_file(folder).write_text(json.dumps(game), encoding="utf-8")
    hopeless = folder / "pick_and_place_simple-Book-None-Desk-1" / "trial_2"
    hopeless.mkdir()
    (hopeless / "traj_data.json").write_text("{}", encoding="utf-8")
    # Where nothing can be picked up nothing can be brought anywhere.
    problem = re.sub(r"\(pickupable [^()]*\)", "", game["pddl_problem"])
    (hopeless / "game.tw-pddl").write_text(json.dumps(game | {"pddl_problem": problem}), "utf-8")
    report = build_index(folder, tmp_path / "index.jsonl.xz")
    assert report.games == 1
    assert report.left_out == {"not marked as solvable, and not won by the oracle": 1}
    env = make("ALFWorld-v0", games=folder, split="valid_seen")
    assert list(env.tasks) == [ID]


WHOLE = lzma.compress(b'{"id": "pick_and_place_simple-A/b", "task": "t", "problem": "p"}\n')


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        (WHOLE[:-8], r"not a whole \.xz"),
        (b"plain text", r"not a whole \.xz"),
        (lzma.compress(b"{\n"), "line 1: not JSON"),
        (lzma.compress(b'{"id": 3}\n'), "line 1: a game needs"),
        (lzma.compress(b'{"id": "x/y", "task": "t", "problem": "p"}\n'), "of no known type"),
    ],
)
def test_a_broken_compact_file_is_explained(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "games.jsonl.xz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        read_compact(path)


def test_settings_of_generated_games_are_refused_for_others(folder: Path) -> None:
    with pytest.raises(InputError, match=r"max_receptacles .* for generated games only"):
        make("ALFWorld-v0", games=folder, split="valid_seen", max_receptacles=8)


def test_the_official_tar_and_the_compact_file_agree(
    shared_data: Path, valid_seen: Listed, tmp_path: Path
) -> None:
    with tarfile.open(shared_data / "alfworld" / "json_2.1.1_valid_seen.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    env = make("ALFWorld-v0", games=tmp_path, split="valid_seen")
    assert [env.digest(task) for task in env.tasks] == [
        valid_seen.digest(id) for id in valid_seen.ids
    ]
    report = build_index(tmp_path / "json_2.1.1" / "valid_seen", tmp_path / "index.jsonl.xz")
    assert (report.games, report.left_out, report.notes) == (140, {}, ())


def test_real_panels_are_fixed(shared_data: Path) -> None:
    env = make("ALFWorld-v0", games=shared_data / "alfworld", split="valid_seen")
    assert len(env.tasks) == 140
    assert panel(env).hash.startswith("9701f4f6cf")
