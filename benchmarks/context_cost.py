"""What a long episode costs under each context policy: tokens, memory and time, turn by turn.

One ALFWorld episode of fifty turns whose replies have 512 tokens each, in a model's own tokens. The
replies are dictated (thoughts, and a random admissible action), so the length is exact and every
policy plays the same game. What the agent sends and what it forgets is what a run would. The model
is then loaded, and of the turns that are measured it really reads the new part of the prompt, and
really decodes a few of the reply's tokens half-way through it; what lies before them in its cache
is noise of the same shape, which costs the same. Times are CPU times.

    python benchmarks/context_cost.py smollm2                     # tokens and memory: seconds
    python benchmarks/context_cost.py smollm2 --measure 1 10 12 --save cost.json   # and times
    python benchmarks/context_cost.py smollm2 --contexts whole --measure 18 --save cost.json
    python benchmarks/context_cost.py smollm2 --contexts --save cost.json --png docs
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from layergym.agents import CONTEXTS, Job, LLMAgent, PromptStyle, RandomAgent, Trajectory, rollout
from layergym.agents.base import Decision, Episode
from layergym.agents.conversation import Layout
from layergym.agents.models.architecture import context_limit
from layergym.agents.models.load import load_config, load_tokenizer
from layergym.agents.models.requests import AnswersTogether, Request, Sample
from layergym.agents.names import open_model, source
from layergym.envs import make
from layergym.evals.report.model import Plot, Report, Section, Series
from layergym.evals.report.render.png import render

ENDLESS = 1 << 20
CONTEXTS_SHOWN = ("whole, endless", "whole", "last:2")
"""Policies; "endless" is for a model whose context has no limit."""
DECODED = 4
"""Tokens that are really decoded, of each reply that is measured."""


@dataclass(frozen=True)
class TurnCost:
    """One turn."""

    read: int
    """Tokens of the prompt that were not in the cache."""
    context: int
    """Tokens in the cache when the reply is finished."""
    forgotten: int
    """Earlier turns that had no room."""
    memory_mb: float = 0.0
    """Megabytes of the cache when the reply is finished."""
    seconds: float | None = None
    """Reading the prompt and decoding the reply; None where it was not measured."""


class Dictated(AnswersTogether):
    """Says an action after as many tokens of thought as make the reply exactly so long."""

    def __init__(self, words: PreTrainedTokenizerBase, length: int, limit: int) -> None:
        """Say `length` tokens each time, in a context of `limit`."""
        super().__init__()
        self.max_new_tokens, self.max_context = length, limit
        self.action = ""
        self._layout, self._end = Layout(words), words.eos_token_id
        [self._thought] = set(self._layout.encode(" step" * 9)[1:])

    def answer(self, requests: Sequence[Request]) -> list[Sample]:
        """The same for every request."""
        said = (*self._layout.encode(f"\nAction: {self.action}"), self._end)
        ids = (self._thought,) * (self.max_new_tokens - len(said)) + said
        return [Sample(ids, (0.0,) * len(ids), "stop") for _ in requests]

    def release(self, episodes: Iterable[int]) -> None:
        """Nothing to forget."""


class Wanderer(LLMAgent):
    """Is asked and answers as a model is; which action it takes is random."""

    def ask(self, episodes: Sequence[Episode]) -> None:
        """Take in one episode."""
        [decision] = RandomAgent().act(episodes)
        assert isinstance(decision, Decision) and isinstance(self.sampler, Dictated)
        self.sampler.action = decision.action
        super().ask(episodes)


def played(model: str, context: str, limit: int, turns: int, length: int) -> Trajectory:
    """The episode under a policy, of a model that can hold `limit` tokens."""
    words = load_tokenizer(source(model))
    style = PromptStyle("act", admissible=True, context=CONTEXTS.open(context))
    agent = Wanderer(Dictated(words, length, limit), words, style)
    fresh = partial(make, "alfworld-v0", max_turns=turns)
    [one] = rollout(agent, fresh, [Job(fresh().tasks[0], 0)])
    assert one.ended == "truncated" and len(one.turns) == turns, "nothing is lost"
    return one


def costs(one: Trajectory, per_token: float) -> Iterator[TurnCost]:
    """The tokens of each turn; `per_token` is megabytes of cache."""
    context = 0
    for turn in one.turns:
        reply = turn.reply
        context = len(reply.prompt_ids) + len(reply.ids) + (context if reply.extends else 0)
        yield TurnCost(len(reply.prompt_ids), context, reply.forgotten, context * per_token)


def measured(model: PreTrainedModel, turn: TurnCost, length: int) -> TurnCost:
    """The turn with its time."""
    before = turn.context - turn.read - length
    with torch.inference_mode():
        ids = torch.randint(100, 10_000, (1, turn.read))
        reading, _ = timed(model, ids, noise(model, before))
        half = noise(model, turn.context - length // 2)
        decoding = [timed(model, ids[:, :1], half) for _ in range(DECODED + 1)][1:]
    step = sum(seconds for seconds, _ in decoding) / DECODED
    return replace(turn, seconds=reading + length * step)


def timed(
    model: PreTrainedModel, ids: torch.Tensor, cache: DynamicCache
) -> tuple[float, torch.Tensor]:
    """CPU seconds of one pass whose last logits are wanted."""
    started = time.process_time()
    output = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return time.process_time() - started, output.logits


def noise(model: PreTrainedModel, tokens: int) -> DynamicCache:
    """A cache of this many tokens."""
    cache, config = DynamicCache(), model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    if tokens:
        for layer in range(config.num_hidden_layers):
            shape = (1, config.num_key_value_heads, tokens, width)
            cache.update(torch.randn(shape), torch.randn(shape), layer)
    return cache


def plots(lines: dict[str, list[TurnCost]], limit: int, model: str) -> dict[str, Plot]:
    """Tokens and memory, and time, over the turns."""
    some = next(iter(lines.values()))[0]
    per_token = some.memory_mb / some.context

    def curves(value: str) -> tuple[Series, ...]:
        found = []
        for dash, (name, turns) in enumerate(lines.items()):
            known = [(n, v) for n, t in enumerate(turns, 1) if (v := getattr(t, value)) is not None]
            if known:
                x, y = zip(*known, strict=True)
                found.append(Series(name, tuple(map(float, x)), tuple(map(float, y)), dash=dash))
        return tuple(found)

    return {
        "context-tokens": Plot(
            f"Tokens in the context after each turn of an ALFWorld episode, {model}. In float32 "
            f"each takes {1000 * per_token:.0f} kB of cache.",
            "turn",
            "tokens",
            curves("context"),
            ((f"{limit:,}", float(limit)),),
            joined=True,
        ),
        "context-time": Plot(
            f"CPU seconds per turn of the same episode, {model}, one thread",
            "turn",
            "seconds",
            curves("seconds"),
            joined=True,
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--length", type=int, default=512, help="tokens of a reply")
    parser.add_argument("--contexts", nargs="*", default=CONTEXTS_SHOWN)
    parser.add_argument("--measure", type=int, nargs="+", default=[], metavar="TURN")
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="keep the numbers, beside those there"
    )
    parser.add_argument("--png", type=Path, metavar="FOLDER", help="draw the numbers")
    options = parser.parse_args()
    limit = context_limit(load_config(source(options.model)).get_text_config(decoder=True), None)
    loaded = open_model(options.model, dtype="float32")[0] if options.measure else None
    config = load_config(source(options.model))
    per_token = per_token_mb(config)
    lines: dict[str, list[TurnCost]] = {}
    if options.save and options.save.exists():
        found = json.loads(options.save.read_text())
        lines = {name: [TurnCost(**turn) for turn in turns] for name, turns in found.items()}
    for name in options.contexts:
        context, _, endless = name.partition(", ")
        room = ENDLESS if endless else limit
        one = played(options.model, context, room, options.turns, options.length)
        turns = list(costs(one, per_token))
        assert all(turn.context <= room for turn in turns), "nothing is past the context"
        for place in range(len(turns)):
            if loaded and place + 1 in options.measure:
                turns[place] = measured(loaded, turns[place], options.length)
            elif name in lines:
                turns[place] = replace(turns[place], seconds=lines[name][place].seconds)
        lines[name] = turns
        show(name, turns)
    if options.save:
        options.save.write_text(json.dumps({k: [asdict(t) for t in v] for k, v in lines.items()}))
    if options.png:
        for file, plot in plots(lines, limit, options.model).items():
            if plot.series:
                report = Report("", "", (Section("", (plot,)),), ())
                (options.png / f"{file}.png").write_bytes(render(report))


def per_token_mb(config: object) -> float:
    """Megabytes of cache that a token takes in float32."""
    text = config.get_text_config(decoder=True)  # type: ignore[attr-defined]
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return 2 * 4 * int(text.num_hidden_layers) * int(text.num_key_value_heads) * int(width) / 1e6


def show(name: str, turns: Sequence[TurnCost]) -> None:
    """Every tenth turn, and what all add up to."""
    anew = [n for n, (a, b) in enumerate(pairwise(turns), 2) if b.forgotten > a.forgotten]
    print(
        f"\n{name}: earlier turns forgotten at turns {anew or 'none'}, {turns[-1].forgotten} in all"
    )
    print(
        f"{'turn':>5}{'read':>8}{'context':>9}{'memory MB':>11}{'seconds':>9}{'read so far':>13}"
        f"{'contexts, summed':>18}"
    )
    read = attended = 0
    for number, turn in enumerate(turns, start=1):
        read += turn.read
        attended += turn.context
        if number % 5 == 0 or number == 1 or number in anew:
            seconds = "" if turn.seconds is None else f"{turn.seconds:.1f}"
            print(
                f"{number:>5}{turn.read:>8,}{turn.context:>9,}{turn.memory_mb:>11,.0f}"
                f"{seconds:>9}{read:>13,}{attended:>18,}"
            )


if __name__ == "__main__":
    main()
