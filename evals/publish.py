"""A trained delta for other people: a folder with a model card, on disk or on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from layergym.agents.names import open_stored
from layergym.base.errors import InputError, briefly
from layergym.base.files import write_json, write_text
from layergym.base.locks import staged
from layergym.base.texts import one_line, printable
from layergym.evals.result_files import read_run
from layergym.evals.results import EvalResult, Run
from layergym.trainer.held_out import BEST
from layergym.trainer.layers.delta import LayerDelta, merge
from layergym.trainer.layers.grammar import ranges, whole_layers
from layergym.trainer.spec import RunSpec

RepositoryKind = Literal["model", "dataset"]
_FILES = ("delta.safetensors", "config.json", "manifest.json")


def package(run: Path, folder: Path, *, whole: bool = False, best: bool = False) -> Path:
    """Write what other people need of the run in `run`: its delta, settings, and a model card.

    Args:
        run: folder of a finished training run.
        folder: where to write.
        whole: also write base and delta merged, as one ordinary checkpoint.
        best: take the step that was best on held-out tasks, in place of the last.

    Returns:
        `folder`.

    Raises:
        InputError: the run is not finished, one of its files is damaged, or its base model is not
            at hand; `folder` is as it was then.
    """
    if missing := [name for name in _FILES if not (run / name).is_file()]:
        raise InputError(f"{run} has no {missing[0]}; finish the run first")
    if best and not (run / BEST).is_file():
        raise InputError(f"{run} has no {BEST}; train with --eval-every N --keep best")
    spec, done = RunSpec.read(run), read_run(run)
    delta = LayerDelta.load(run / (BEST if best else _FILES[0]))
    if best:  # The scores are those of the last step.
        done = replace(done, evals=())
    try:
        about = card(delta, done, best=best)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{run} is damaged ({briefly(error)}); train it again") from None
    with staged(folder) as scratch:
        delta.save(scratch / _FILES[0])
        write_json(scratch / "layergym.json", _portable(done.config))
        if whole:
            model, tokenizer = open_stored(spec.model, spec.dtype)
            merge(delta, model, scratch, tokenizer)
        write_text(scratch / "README.md", about)
    return folder


def card(delta: LayerDelta, run: Run, *, best: bool = False) -> str:
    """A model card in the hub's format: what was trained, how it scored, how to use it."""
    config, manifest = _portable(run.config), run.manifest
    model, env = (one_line(printable(str(config[name]))) for name in ("model", "env"))
    parameters = sum(tensor.numel() for tensor in delta.tensors.values())
    head = ["---", "library_name: layergym", "tags: [reinforcement-learning, layergym]"]
    if "/" in model:
        head += [f"base_model: {model}"]
    what = _in_words(str(config["layers"]), delta)
    lines = [
        *head,
        "---",
        "",
        f"# {what} of {model}, trained in {env}",
        "",
        f"A layer delta: new values of {what} ({parameters:,} numbers), trained by reinforcement "
        f"learning ({config['algorithm']}, {config['steps']} updates of {config['tasks_per_step']} "
        f"tasks x {config['group_size']} episodes, seed {config['seed']}). Every other tensor is "
        "bit-identical to the base model's.",
        *(
            ["", "These are the weights of the step that was best on held-out tasks."]
            if best
            else []
        ),
        "",
        "| | |",
        "|---|---|",
        f"| base model | {model} |",
        f"| base model's hash | `{delta.base}` |",
        *(
            f"| panel ({p['split']}) | {p['size']} tasks, `{p['hash']}` |"
            for p in manifest["panels"]
        ),
        f"| layergym | {manifest['versions']['layergym']}, commit {manifest['commit']} |",
        "",
        *_scores(run.evals),
        "## Use",
        "",
        "    from layergym.agents.names import open_model",
        "    from layergym.trainer import LayerDelta",
        "",
        f'    model, tokenizer = open_model("{model}")',
        '    LayerDelta.load("delta.safetensors").apply(model)',
        "",
        "The delta refuses any other base model. `layergym.json` holds all settings.",
        "",
        "## Limits",
        "",
        "Trained and scored in one environment. What training cost elsewhere is not known unless "
        "`layergym retention` was run; scores on few tasks have wide intervals.",
        "",
    ]
    return "\n".join(lines)


def _in_words(layers: str, delta: LayerDelta) -> str:
    """What was trained; of a selection by a file, without the file's place."""
    if layers == "all":
        return "all parameters"
    return f"layers {ranges(delta.layers)}" if whole_layers(layers) else layers.partition("@")[0]


def _portable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the place of a local model: a folder means nothing on another machine."""
    model = str(config["model"])
    return {**config, "model": Path(model).name if Path(model).is_absolute() else model}


def _scores(evals: tuple[EvalResult, ...]) -> list[str]:
    if not evals:
        return []
    rows = [
        f"| {e.env_id}, {e.split} | {e.name} | {len(e.tasks)} x {e.repeats} "
        f"| {100 * e.rates.mean():.1f} % |"
        for e in evals
    ]
    return ["| panel | sampling | episodes | success |", "|---|---|---|---|", *rows, ""]


def check_repository(name: str) -> None:
    """Refuse what cannot be a repository of the hub.

    Raises:
        InputError: it is not of the form owner/name.
    """
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise InputError(f"--push takes owner/name: {briefly(error)}") from None
    if name.count("/") != 1:
        raise InputError(f'--push takes owner/name, not "{name}"')


def push(
    folder: Path, repository: str, *, private: bool = False, kind: RepositoryKind = "model"
) -> str:
    """Upload a packaged folder to the Hugging Face hub; the token is the hub's own (`hf auth`).

    Returns:
        The repository's address.

    Raises:
        InputError: the hub refuses.
    """
    hub = HfApi()
    try:
        address = hub.create_repo(repository, private=private, exist_ok=True, repo_type=kind)
        hub.upload_folder(
            folder_path=folder,
            repo_id=repository,
            repo_type=kind,
            commit_message="layergym publish",
        )
    except (HfHubHTTPError, ValueError, OSError) as error:
        why = str(error).strip().splitlines()[0]
        raise InputError(f"the hub did not take {repository}: {why}") from error
    return str(address)
