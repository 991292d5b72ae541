"""The layer bank: every variant is the run that it would have been alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel
from trl.trainer import add_fused_lm_head  # type: ignore[attr-defined]

from layergym.agents.llm import LLMAgent
from layergym.agents.models.load import load_model
from layergym.agents.models.tiny import build_model, build_tokenizer
from layergym.agents.names import source
from layergym.agents.rollouts import Job, rollout
from layergym.base.errors import Notice
from layergym.envs import InputError, Outcome, TextEnv, panel, register
from layergym.trainer.bank import Bank, groups, passes
from layergym.trainer.bank.lockstep import Seat, lockstep
from layergym.trainer.bank.passes import Asked, JointPasses, all_scored
from layergym.trainer.bank.paths import Rows
from layergym.trainer.bank.routing import routed, view
from layergym.trainer.layers.selection import decoder_layers, select
from layergym.trainer.rows.prefix import sampled_logprobs
from layergym.trainer.rows.trees import lay
from layergym.trainer.run import Trained, agent_of, train
from layergym.trainer.spec import RunSpec, make_env_of


class Pair(TextEnv):
    """Say something of an odd length, twice: half of what an untrained policy says."""

    max_turns = 2
    tasks = tuple(f"t{i}" for i in range(6))

    def start(self) -> str:
        self.word = int(self.task[1:])
        return f"Say {self.word} ."

    def play(self, action: str) -> Outcome:
        self.word += 1
        return Outcome(
            f"Say {self.word} .", reward=float(len(action) % 2), terminated=self.turn == 1
        )


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a policy of four layers for `Pair`."""
    register("test/BankPair-v0", Pair)
    folder = tmp_path_factory.mktemp("policy")
    tokenizer = build_tokenizer(["Say 0 1 2 3 4 5 6 7 8 9 10 ."])
    build_model(tokenizer, layers=4, width=32, seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "recipe.json").write_text('{"model": "new"}')
    return str(folder)


@pytest.fixture(scope="module")
def specs(policy: str) -> list[RunSpec]:
    """Variants for the policy."""
    return variants(policy)


def variants(policy: str) -> list[RunSpec]:
    """Several layers, seeds and algorithms; two variants train the same layer."""
    spec = RunSpec(
        env="test/BankPair-v0",
        model=policy,
        steps=4,
        tasks_per_step=3,
        group_size=4,
        max_new_tokens=2,
        learning_rate=3e-3,
        save_every=2,
    )
    return [
        replace(spec, layers="0"),
        replace(spec, layers="2", beta=0.1),
        replace(spec, layers="2", seed=1, algorithm="grpo"),
        replace(spec, layers="1,3", boost="3*2"),
        replace(spec, layers="1.o+down", beta=0.1),
    ]


def folders(root: Path, count: int) -> list[Path]:
    return [root / str(i) for i in range(count)]


def lines(folder: Path) -> list[dict[str, Any]]:
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    own = ("time/", "memory")  # the clock's and the process's, not the run's
    return [{k: v for k, v in row.items() if not k.startswith(own)} for row in rows]


def differences(left: Path, right: Path) -> torch.Tensor:
    """How far each trained scalar of one run is from the other's."""
    a, b = (load_file(folder / "delta.safetensors") for folder in (left, right))
    assert a.keys() == b.keys()
    return torch.cat([(a[name] - b[name]).abs().flatten() for name in a])


@dataclass(frozen=True)
class Done:
    """A bank, and what it trained."""

    bank: Bank
    folders: list[Path]
    trained: list[Trained]


@pytest.fixture(scope="module")
def done(specs: list[RunSpec], tmp_path_factory: pytest.TempPathFactory) -> Done:
    places = folders(tmp_path_factory.mktemp("bank"), len(specs))
    bank = Bank(specs)
    return Done(bank, places, bank.train(places))


def test_variants_are_the_runs_they_would_have_been_alone(
    specs: list[RunSpec], done: Done, tmp_path: Path
) -> None:
    before = done.bank.base.state_dict()
    for spec, folder, trained in zip(specs, done.folders, done.trained, strict=True):
        alone = tmp_path / folder.name
        other = train(spec, alone)
        assert float(differences(alone, folder).max()) < 1e-5
        assert (alone / "config.json").read_text() == (folder / "config.json").read_text()
        assert trained.selection == other.selection
        assert [row["step"] for row in lines(folder)] == [1, 2, 3, 4]
        for ours, theirs in zip(lines(folder), lines(alone), strict=True):
            # Rewards, tokens, successes ... are equal; sums of floats differ in their last bits.
            assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
        moved = load_file(folder / "delta.safetensors")
        assert max(float((v - before[n]).abs().max()) for n, v in moved.items()) > 3e-3


def test_variants_of_a_bfloat16_bank_are_stepped_in_float32(
    specs: list[RunSpec], policy: str, tmp_path: Path
) -> None:
    """At a rate that bfloat16 shows nothing of, as runs alone."""
    chosen = [
        replace(spec, dtype="bfloat16", learning_rate=1e-6, steps=2)
        for spec in (specs[0], specs[4])
    ]
    places = folders(tmp_path / "bank", 2)
    with pytest.warns(Notice, match="below its rounding"):
        bank = Bank(chosen)
        bank.train(places)
    assert {p.dtype for p in bank.base.parameters()} == {torch.bfloat16}
    before = bank.base.state_dict()
    for spec, folder in zip(chosen, places, strict=True):
        with pytest.warns(Notice, match="below its rounding"):
            train(spec, tmp_path / "alone" / folder.name)
        moved = []
        for place in (folder, tmp_path / "alone" / folder.name):
            found = load_file(place / "delta.safetensors")
            assert {value.dtype for value in found.values()} == {torch.float32}
            moved.append(torch.cat([(found[n] - before[n].float()).flatten() for n in found]))
        shares = [float((one != 0).float().mean()) for one in moved]
        assert min(shares) > 0.9 and shares[0] == pytest.approx(shares[1], abs=0.01)
        assert torch.cosine_similarity(moved[0], moved[1], dim=0) > 0.9


def limited(bank: Bank, tokens: int) -> None:
    """Let passes with grad over more tokens run out of memory."""

    def check(_: Any, args: Any, kwargs: Any) -> None:
        if torch.is_grad_enabled() and kwargs["input_ids"].numel() > tokens:
            raise torch.OutOfMemoryError("no memory for this many tokens")

    bank.sampler_at(1.0).sampler.model.register_forward_pre_hook(check, with_kwargs=True)


def test_where_memory_runs_out_fewer_variants_share_a_pass(
    specs: list[RunSpec], done: Done, tmp_path: Path
) -> None:
    bank, places = Bank(specs), folders(tmp_path, len(specs))
    limited(bank, 200)
    with pytest.warns(Notice, match="variants share a pass"):
        bank.train(places)
    for left, right in zip(done.folders, places, strict=True):
        assert float(differences(left, right).max()) < 1e-5


def test_a_variant_that_does_not_fit_alone_has_smaller_passes(
    specs: list[RunSpec], done: Done, tmp_path: Path
) -> None:
    specs, places = specs[:2], folders(tmp_path, 2)
    bank = Bank([replace(spec, tokens_per_pass=256) for spec in specs])
    limited(bank, 60)
    with pytest.warns(Notice, match="passes have at most"):
        bank.train(places)
    for left, right in zip(done.folders, places, strict=False):
        assert float(differences(left, right).max()) < 1e-5


def test_memory_that_runs_out_on_the_way_back_begins_the_steps_anew(
    specs: list[RunSpec], done: Done, tmp_path: Path
) -> None:
    bank, places = Bank(specs), folders(tmp_path, len(specs))
    failures: list[int] = []

    def fail(gradient: torch.Tensor) -> None:
        if not failures:
            failures.append(len(gradient))
            raise torch.OutOfMemoryError("no memory on the way back")

    def watch(module: Any, args: Any, output: torch.Tensor) -> None:
        if output.requires_grad:
            output.register_hook(fail)

    decoder_layers(bank.sampler_at(1.0).sampler.model)[2].register_forward_hook(watch)
    with pytest.warns(Notice, match="variants share a pass"):
        bank.train(places)
    assert failures
    for left, right in zip(done.folders, places, strict=True):
        assert float(differences(left, right).max()) < 1e-5


def episodes(agent: LLMAgent, spec: RunSpec) -> list[Any]:
    jobs = [Job(task, seed) for seed, task in enumerate(Pair.tasks)]
    played = rollout(agent, make_env_of(spec, "train"), jobs)
    return [[(turn.reply.ids, turn.reward) for turn in t.turns] for t in played]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_trained_variants_play_in_common_batches_as_alone(
    done: Done, specs: list[RunSpec], temperature: float
) -> None:
    together = done.bank.each(lambda i, agent_at: episodes(agent_at(temperature), specs[i]))
    for spec, trained, played in zip(specs, done.trained, together, strict=True):
        agent = agent_of(spec, trained.model, trained.tokenizer, temperature)
        assert played == episodes(agent, spec)
    assert any(played != together[0] for played in together[1:])


def test_a_resumed_bank_ends_bit_equal(specs: list[RunSpec], done: Done, tmp_path: Path) -> None:
    broken = folders(tmp_path, len(specs))
    for folder, place in zip(done.folders, broken, strict=True):
        shutil.copytree(folder, place)
        (place / "delta.safetensors").unlink()
    # As if it had been killed when two of the runs had saved their last checkpoint and two had not.
    for folder in broken[:2]:
        shutil.rmtree(folder / "checkpoint-4")
    Bank(specs).train(broken, resume=True)
    for left, right in zip(done.folders, broken, strict=True):
        name = "delta.safetensors"
        assert (left / name).read_bytes() == (right / name).read_bytes()
        assert lines(left) == lines(right)


def test_groups_hold_runs_that_can_share_a_bank(specs: list[RunSpec]) -> None:
    full = replace(specs[0], layers="all")
    scattered = replace(specs[0], layers="random")
    longer = replace(specs[0], steps=5)
    listed = [full, *specs, longer, scattered]
    assert groups(listed) == [(1, 2, 3, 4, 5), (6,)]
    assert groups(listed, variants=3) == [(1, 2, 3), (4, 5), (6,)]
    large = [replace(spec, tasks_per_step=64, group_size=8) for spec in specs]
    assert groups(large) == [(0, 1), (2, 3), (4,)]
    with pytest.raises(InputError, match="must agree on model"):
        Bank([specs[0], longer])


# ---- slow ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "layers"), [(torch.float64, range(8)), (torch.float32, (1, 6))])
def test_the_default_model_layer_by_layer_for_four_updates(
    dtype: torch.dtype, layers: Sequence[int], tmp_path: Path
) -> None:
    """In float64 weights are equal; in float32 a few differ, those whose gradient is only rounding.

    AdamW's first steps are the learning rate times g / |g|: where the true gradient is 0, what a
    sum in another order leaves of it counts in full.
    """
    model, tokenizer = load_model(source("tiny"), dtype=dtype)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "recipe.json").write_text('{"model": "new"}')
    games = {"size": 2000, "max_receptacles": 8, "num_objects": 8, "max_turns": 9}
    spec = RunSpec(
        env="alfworld-v0",
        env_args=games,
        model=str(tmp_path / "model"),
        steps=4,
        tasks_per_step=4,
    )
    alike = [replace(spec, layers=str(layer)) for layer in layers]
    places = folders(tmp_path / "bank", len(alike))
    bank = Bank(alike)
    bank.train(places)
    tasks = panel(make_env_of(spec, "test")(), 4).tasks

    def greedy(agent: LLMAgent) -> list[Any]:
        jobs = [Job(task, seed) for seed, task in enumerate(tasks)]
        played = rollout(agent, make_env_of(spec, "test"), jobs)
        return [[turn.reply.ids for turn in t.turns] for t in played]

    together = bank.each(lambda i, agent_at: greedy(agent_at(0.0)))
    for one, folder, played in zip(alike, places, together, strict=True):
        place = tmp_path / "alone" / folder.name
        alone = train(one, place)
        assert [row["reward"] for row in lines(place)] == [row["reward"] for row in lines(folder)]
        assert played == greedy(agent_of(one, alone.model, alone.tokenizer, 0.0))
        apart = differences(place, folder)
        if dtype == torch.float64:
            assert float(apart.max()) <= 1e-5
        else:
            assert float((apart > 1e-5).double().mean()) < 1e-3


SCRIPT = """
import importlib.util, sys
from dataclasses import replace
from pathlib import Path

spec = importlib.util.spec_from_file_location("support", sys.argv[1])
support = sys.modules["support"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(support)
support.register("test/BankPair-v0", support.Pair)
specs = [replace(one, steps=20, save_every=1) for one in support.variants(sys.argv[2])]
bank = support.Bank(specs)
print("ready", flush=True)
bank.train(support.folders(Path(sys.argv[3]), len(specs)), resume=True)
"""


@pytest.mark.slow
def test_kills_change_nothing(policy: str, tmp_path: Path) -> None:
    def start(root: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "ignore", "-c", SCRIPT, __file__, policy, str(root)]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        return run

    with start(tmp_path / "straight") as run:
        began = time.monotonic()
        assert run.wait() == 0
        lasted = time.monotonic() - began
    killed = 0
    for share in (0.3, 0.5, 0.4):
        with start(tmp_path / "broken") as run:
            try:
                run.wait(timeout=share * lasted)
            except subprocess.TimeoutExpired:
                run.kill()
                killed += 1
    with start(tmp_path / "broken") as run:
        assert run.wait() == 0
    assert killed
    for left, right in zip(
        *(folders(tmp_path / name, 4) for name in ("straight", "broken")), strict=True
    ):
        name = "delta.safetensors"
        assert (left / name).read_bytes() == (right / name).read_bytes()
        assert lines(left) == lines(right)


# ---- routing -------------------------------------------------------------------------------------


def shaken(base: PreTrainedModel, layers: str, seed: int) -> PreTrainedModel:
    """A view whose own parameters differ from the base's."""
    one = view(base, layers)
    select(one, layers)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in one.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return one


@pytest.fixture(scope="module")
def base(family: str, tiny_model: Callable[..., PreTrainedModel]) -> PreTrainedModel:
    model = tiny_model(family)
    model.requires_grad_(False)
    return model


def test_routed_rows_are_those_of_their_views(base: PreTrainedModel) -> None:
    views = [shaken(base, layers, i) for i, layers in enumerate(("0", "3", "3", "1-4"))]
    rows = Rows()
    model = routed(base, views, rows)
    ids = torch.randint(4, 24, (6, 7), generator=torch.Generator().manual_seed(0))
    whose = [3, 0, 1, 0, 2, 1]
    rows.set(whose, ids.device)
    with torch.no_grad():
        together = model(input_ids=ids).logits
        for row, variant in enumerate(whose):
            alone = views[variant](input_ids=ids[row : row + 1]).logits[0]
            torch.testing.assert_close(together[row], alone, rtol=1e-4, atol=1e-5)
        away = model(input_ids=ids).logits - base(input_ids=ids).logits
    assert bool((away.abs().amax((1, 2)) > 1e-3).all())


@pytest.mark.parametrize("most", [1, 1024])
def test_each_view_gets_its_own_gradient(
    base: PreTrainedModel, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Also where passes take one variant at a time; rows begin alike in part."""
    monkeypatch.setitem(passes._TOGETHER, "cpu", most)
    layers = ("0", "2", "4")
    views = [shaken(base, one, i) for i, one in enumerate(layers)]
    rows = Rows()
    model = routed(base, views, rows)
    seen: Counter[int] = Counter()
    for i, layer in enumerate(decoder_layers(model)):
        mlp = layer.get_submodule("mlp")
        mlp.register_forward_hook(lambda m, x, y, i=i: seen.update({i: y[..., 0].numel()}))
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    shared, todo = JointPasses(model, rows), [asked(int(one), i) for i, one in enumerate(layers)]
    below = shared.below(todo)
    # Layer 0 runs the rows of two variants, 2 and 4; layers 2 and 3 those of one; nothing twice.
    once, slots = _beginnings(todo[1:]), todo[2].trees.ids.numel()
    assert [seen[i] for i in range(5)] == [once, once, slots, slots, 0]
    todo = [replace(one, entering=hidden) for one, hidden in zip(todo, below, strict=True)]
    while todo:
        scored = all_scored(shared.score(todo))
        for one, part in zip(todo, scored, strict=False):
            (part.logprobs.sum() * (1 + one.variant)).backward()
        shared.backward(scored)
        todo = todo[len(scored) :]
    for number, (mine, first) in enumerate(zip(views, map(int, layers), strict=True)):
        together = {n: p.grad.clone() for n, p in mine.named_parameters() if p.grad is not None}
        mine.zero_grad()
        add_fused_lm_head(mine, outputs=("log_probs", "entropy"))
        alone = asked(first, number)
        logprobs = sampled_logprobs(mine, mine, alone.trees, alone.sampled)[0]
        (logprobs.sum() * (1 + number)).backward()
        for name, parameter in mine.named_parameters():
            if parameter.requires_grad:
                torch.testing.assert_close(together[name], parameter.grad, rtol=1e-3, atol=1e-4)


def asked(start: int, variant: int) -> Asked:
    """Two rows, as long as `variant` says, of which all begin with the same three tokens."""
    rows = [(4, 5, 6, *range(7, 9 + variant)), (4, 5, 6, 20, *range(9, 13 + variant))]
    trees = lay([rows])
    sampled = torch.zeros(trees.places.shape, dtype=torch.bool)
    sampled[0, 2 : len(rows[0])], sampled[1, 3:-1] = True, True
    return Asked(variant, start, trees, sampled, nullcontext)


def _beginnings(parts: Sequence[Asked]) -> int:
    rows = [row for part in parts for row in part.trees.rows]
    return len({row[: n + 1] for row in rows for n in range(len(row))})


# ---- lockstep --------------------------------------------------------------------------------


def test_requests_at_one_step_are_served_together_in_order() -> None:
    served: list[tuple[str, list[str]]] = []

    def server(name: str, values: Sequence[str]) -> list[str]:
        served.append((name, list(values)))
        return [value.upper() for value in values]

    first, second = partial(server, "first"), partial(server, "second")

    def work(name: str, idle: bool, seat: Seat) -> str:
        said = ""
        for step in range(2):
            seat.step = (step,)
            said += seat.ask(0, first, name)
            if not (idle and step == 0):
                said += seat.ask(1, second, name)
        return said

    assert lockstep([partial(work, "a", False), partial(work, "b", True)]) == ["AAAA", "BBB"]
    both = ["a", "b"]
    assert served == [("first", both), ("second", ["a"]), ("first", both), ("second", both)]


def test_what_a_server_leaves_is_asked_again_after_more_urgent_requests() -> None:
    served: list[tuple[str, list[str]]] = []

    def one_at_a_time(values: Sequence[str]) -> list[str]:
        served.append(("late", list(values)))
        return [values[0].upper()]

    def urgent(values: Sequence[str]) -> list[str]:
        served.append(("urgent", list(values)))
        return list(values)

    def work(name: str, seat: Seat) -> str:
        said: str = seat.ask(1, one_at_a_time, name)
        return said + str(seat.ask(0, urgent, name))

    assert lockstep([partial(work, "a"), partial(work, "b")]) == ["Aa", "Bb"]
    assert served == [("late", ["a", "b"]), ("urgent", ["a"]), ("late", ["b"]), ("urgent", ["b"])]


def test_works_share_the_time_of_what_is_served_to_them_together() -> None:
    now = [0.0]

    def slow(values: Sequence[None]) -> Sequence[None]:
        now[0] += 2
        return values

    def work(asks: int, seat: Seat) -> float:
        began = seat.clock()
        for step in range(asks):
            seat.step = (step,)
            seat.ask(0, slow, None)
        now[0] += 1
        return seat.clock() - began

    # Half of the first request; the second has one request more for itself.
    assert lockstep([partial(work, 1), partial(work, 2)], lambda: now[0]) == [2, 4]


def test_an_error_ends_all_works() -> None:
    ended = []

    def fails(seat: Seat) -> None:
        raise ValueError("this one")

    def waits(seat: Seat) -> None:
        try:
            seat.ask(0, lambda values: values, None)
        finally:
            ended.append(True)

    with pytest.raises(ValueError, match="this one"):
        lockstep([waits, fails, waits])
    assert len(ended) == 2


def test_a_server_that_fails_ends_all_works() -> None:
    def server(values: Sequence[None]) -> list[None]:
        raise FloatingPointError

    with pytest.raises(FloatingPointError):
        lockstep([lambda seat: seat.ask(0, server, None)] * 3)
