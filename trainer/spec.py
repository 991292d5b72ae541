"""What determines a training run, as one frozen value. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from layergym.agents.styles import check_style
from layergym.base.addresses import check_server
from layergym.base.errors import InputError, briefly, unknown
from layergym.base.files import read_json
from layergym.base.numbers import Bounds, check_numbers
from layergym.envs import TextEnv, find, make
from layergym.trainer.credit.advantages import Compat
from layergym.trainer.credit.algorithms import Credit, Norm

HERE = "transformers"
BESIDE = "vllm"
SERVER = "vllm@"
Quantize = Literal["none", "int8", "nf4"]
_TEXT = ("str", "str | None")
_TRUTH = ("bool", "bool | None")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """Everything that determines a training run. None means: what suits the model."""

    BOUNDS: ClassVar[Mapping[str, Bounds]] = {
        **Credit.BOUNDS,
        "lora": Bounds(0, 65_536, whole=True),
        "shots": Bounds(0, 100, whole=True),
        "steps": Bounds(1, 1_000_000, whole=True),
        "tasks_per_step": Bounds(1, 100_000, whole=True),
        "group_size": Bounds(2, 10_000, whole=True),
        "dynamic_sampling": Bounds(0, 1000, whole=True),
        "learning_rate": Bounds(0, 100, above=True, optional=True),
        "beta": Bounds(0),
        "temperature": Bounds(0, 100, above=True),
        "max_new_tokens": Bounds(1, 10_000_000, whole=True, optional=True),
        "rows_per_pass": Bounds(1, 1_000_000, whole=True),
        "tokens_per_pass": Bounds(1, 10_000_000, whole=True, optional=True),
        "seed": Bounds(0, 2**32 - 1, whole=True),
        "save_every": Bounds(1, 1_000_000, whole=True),
        "patience": Bounds(1, 1_000_000, whole=True, optional=True),
        "eval_every": Bounds(0, 1_000_000, whole=True),
        "eval_tasks": Bounds(1, 100_000, whole=True),
    }
    env: str
    """Id of the environment, such as "alfworld-v0"."""
    env_args: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the environment."""
    model: str = "tiny"
    """"tiny" (embedded), "smollm2" (after: layergym pull smollm2), a folder, or a hub id."""
    format: str | None = None
    """Form of a reply: act, think, plain, tool, regex:PATTERN; None: act for chat models, or what
    the environment reads."""
    admissible: bool | None = None
    """List the admissible actions in every prompt; None: for chat models."""
    context: str = "whole"
    """What of an episode a prompt shows: whole, last:K turns, no-thoughts."""
    prompt: str = ""
    """The text of a Jinja template for the prompt; see `PromptStyle`."""
    shots: int = 0
    """Episodes of the environment's expert that the prompt shows as examples."""
    algorithm: str = "gigpo"
    layers: str = "all"
    """What trains: "all", "14", "10-14", "0,14", "middle:5", "top:3@profile.json", "14.attn",
    "embed", "lisa:2/5" (two layers, drawn anew every five steps)."""
    boost: str = ""
    """Layers that learn faster: "top:5@profile.json*2" gives them twice the learning rate."""
    lora: int = 0
    """Rank of LoRA adapters that train on the chosen layers in place of weights; 0 for none."""
    steps: int = 30
    """Optimiser steps, each on a fresh rollout."""
    tasks_per_step: int = 16
    """Tasks in every step's rollout."""
    group_size: int = 8
    """Episodes of every task, which are compared with one another."""
    dynamic_sampling: int = 0
    """Rounds in which groups whose episodes all earn the same are replaced (DAPO); 0 for none."""
    learning_rate: float | None = None
    """Learning rate; None: what suits the model."""
    gamma: float = 0.95
    omega: float = 1.0
    norm: Norm = "std"
    invalid_penalty: float = 0.0
    similarity: float | None = None
    history: int = 2
    """HGPO: how many earlier states turns that are compared may share."""
    alpha: float = 1.0
    """HGPO: how much more a longer shared history weighs."""
    compat: Compat | None = None
    """"verl-agent" gives credit as that implementation does; see `Credit`."""
    beta: float = 0.0
    """Weight of the KL term to the model as it was at the start."""
    temperature: float = 1.0
    """Sampling temperature of rollouts."""
    sampler: str = HERE
    """What samples in rollouts: the model itself ("transformers"), vLLM in this process ("vllm"),
    or a vLLM server that serves the same model to this run alone ("vllm@http://HOST:PORT")."""
    overlap: bool = False
    """Play the next rollout while the update runs: samples are then one optimiser step old, which
    the loss corrects for."""
    max_new_tokens: int | None = None
    """Tokens of a reply at most; None: what suits the model."""
    rows_per_pass: int = 64
    """Rows in one pass at most."""
    tokens_per_pass: int | None = None
    """Tokens in one pass at most, padding included; None: what fits into memory."""
    dtype: str = "auto"
    """What the model computes with (`agents.models.compute`); what trains is stepped in float32."""
    device: str = "auto"
    """Where it computes."""
    quantize: Quantize = "none"
    """Hold the weights of layers in which nothing trains in 8 bits (int8) or 4 (nf4)."""
    deterministic: bool = True
    """Add gradients up in a fixed order on a GPU, so that a resumed run is exact."""
    seed: int = 0
    """Seed of tasks, episodes and training."""
    save_every: int = 10
    """Optimiser steps between checkpoints."""
    eval_every: int = 0
    """Optimiser steps between scores on held-out tasks; 0 for none."""
    eval_split: str = "valid"
    """Split of the held-out tasks."""
    eval_tasks: int = 64
    """Held-out tasks, played once each at the temperature of rollouts."""
    keep: Literal["last", "best"] = "last"
    """Whether the delta of the step with the best held-out score is kept too, beside the last."""
    trl: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of TRL's `GRPOConfig` by name, such as `epsilon_high`. Those that would have
    no effect are refused (`trainer.inherited`)."""
    patience: int | None = None
    """End early when the reward, in means over 10 rollouts, has had no new best this many times."""

    def __post_init__(self) -> None:
        """Refuse what no run could be made of.

        Raises:
            InputError: a number is out of range, or not one, or a setting does not fit the
                algorithm.
        """
        check_numbers(self, self.BOUNDS)
        self._check_kinds()
        if self.keep not in ("last", "best"):
            raise unknown("keep", str(self.keep), ("last", "best"))
        if not self.eval_every:
            self._check_not_scored()
        check_style(self)
        check_sampler(self.sampler, lora=bool(self.lora))
        self._check_quantized()
        _ = self.credit

    def _check_quantized(self) -> None:
        """Refuse what a quantised base does not go with."""
        if self.quantize == "none":
            return
        if self.quantize not in get_args(Quantize):
            raise unknown("quantization", str(self.quantize), get_args(Quantize))
        without = {
            "--lora": self.lora,
            "--sampler": self.sampler != HERE,
            "--overlap": self.overlap,
        }
        if other := next((name for name, given in without.items() if given), None):
            raise InputError(f"--quantize does not go with {other}; leave one of them out")

    def _check_not_scored(self) -> None:
        """Refuse settings of held-out scores where none are taken."""
        if self.keep == "best":
            raise InputError("to keep the best step, say how often to score: --eval-every N")
        usual = {field.name: field.default for field in fields(self)}
        for name in ("eval_split", "eval_tasks"):
            if getattr(self, name) != usual[name]:
                option = name.replace("_", "-")
                raise InputError(f"--{option} has no effect without --eval-every N; give both")

    def _check_kinds(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.type in _TEXT and not isinstance(value, (str, type(setting.default))):
                raise InputError(f"{setting.name} must be a text, not {repr(value)[:40]}")
            if setting.type in _TRUTH and not isinstance(value, (bool, type(setting.default))):
                raise InputError(f"{setting.name} must be true or false, not {repr(value)[:40]}")
            if str(setting.type).startswith("Mapping") and not isinstance(value, Mapping):
                raise InputError(f"{setting.name} must be names and values, not {repr(value)[:40]}")

    @property
    def credit(self) -> Credit:
        """What decides about advantages."""
        return Credit(**{f.name: getattr(self, f.name) for f in fields(Credit)})

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> RunSpec:
        """A description as a run or sweep folder holds it; names that are no setting are left out.

        Folders of earlier versions call the sampler "engine".

        Raises:
            TypeError: the environment is missing.
            InputError: a value is wrong.
        """
        known = {f.name for f in fields(cls)}
        named = {"sampler" if k == "engine" else k: v for k, v in values.items()}
        return cls(**{k: v for k, v in named.items() if k in known})

    @classmethod
    def read(cls, folder: Path) -> RunSpec:
        """The description of the run in `folder`.

        Raises:
            InputError: `folder` is not a run folder.
        """
        path = folder / "config.json"
        try:
            return cls.of(read_json(path))
        except (ValueError, TypeError) as error:
            raise InputError(
                f"{folder} is not a run folder: {briefly(error)}; "
                "give one that layergym train wrote"
            ) from error


def with_settings(spec: RunSpec, settings: Mapping[str, Any]) -> RunSpec:
    """The run with some settings changed, by name: its own, and for other names those of `trl`.

    Raises:
        InputError: a value is wrong; names in `trl` are looked at when the run begins.
    """
    own = {f.name for f in fields(RunSpec)} - {"trl"}
    mine = {name: value for name, value in settings.items() if name in own}
    for setting in fields(RunSpec):  # --set layers=14 is read as a number
        if setting.type in _TEXT and isinstance(mine.get(setting.name), int):
            mine[setting.name] = str(mine[setting.name])
    others = {name: value for name, value in settings.items() if name not in own}
    return replace(spec, **mine, trl={**spec.trl, **others}) if settings else spec


def check_sampler(name: str, *, lora: bool = False) -> None:
    """Refuse a sampler that does not exist, has no address, or cannot sample from what trains.

    It is "transformers" for the model itself, "vllm" for vLLM in this process, next to the model
    that trains, or "vllm@URL" for a vLLM server.

    Args:
        name: of the sampler.
        lora: whether LoRA adapters train.

    Raises:
        InputError: one of these.
    """
    if name not in (HERE, BESIDE) and not name.startswith(SERVER):
        raise InputError(
            f'no sampler "{name}"; there is {HERE}, {BESIDE}, and {SERVER}http://HOST:PORT'
        )
    if name.startswith(SERVER):
        check_server(name.removeprefix(SERVER))
    if lora and name != HERE:
        raise InputError(f"vLLM gets whole tensors, not LoRA adapters; use --sampler {HERE}")


def make_env_of(spec: RunSpec, split: str) -> Callable[[], TextEnv]:
    """What makes one environment of `split` with the run's settings."""
    id = find(spec.env)
    return lambda: make(id, split=split, **spec.env_args)
