"""Run files: options written down in TOML or YAML.

An option goes by its name on the command line or by the name of its field ("tasks" or
"tasks_per_step"). What is none is a setting of TRL's, as with `--set`. What is given on the command
line holds instead of what the file says, and the file instead of a preset.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layergym.base.errors import InputError, briefly
from layergym.base.texts import short, writable
from layergym.cli.presets import preset_values
from layergym.command.console import Output
from layergym.command.flags import CALLED
from layergym.command.options import named_values

if TYPE_CHECKING:
    import yaml

Declare = Callable[[argparse.ArgumentParser], None]
TABLES = {"env_args": "env_arg", "trl": "set"}
"""Tables of a run file, and the option that each stands for."""
_NEVER = frozenset({"help", "config", "show_config", "resume", "quiet", "json", "dry_run"})
"""Options that a run file does not hold: they are about one call."""


def add_run_file(parser: argparse._ActionsContainer) -> None:
    """Declare `--config` and `--show-config`."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="a run file (TOML or YAML) for what is not given here; see --show-config",
    )
    parser.add_argument(
        "--show-config",
        action="store_true",
        help="print all options as they stand, with comments, as a run file, and stop",
    )


def filled(args: argparse.Namespace, declare: Declare, command: str) -> argparse.Namespace:
    """The arguments, with the run file's and then the preset's values for all that was not given.

    Args:
        args: as they were parsed; `args.argv` holds what was given.
        declare: the command's arguments.
        command: whose settings of a preset hold.

    Raises:
        InputError: the file cannot be read, or a value in it is wrong; there is no such preset.
    """
    if args.config is None and args.preset is None:
        return args
    parser = argparse.ArgumentParser(add_help=False)
    declare(parser)
    actions = {action.dest: action for action in parser._actions if action.dest not in _NEVER}
    written = {} if args.config is None else _options(args.config, actions)
    name = args.preset or written.get("preset")
    values = preset_values(name, command, set(actions)) if name else {}
    for option, value in written.items():
        several = isinstance(actions[option], argparse._AppendAction)
        values[option] = [*values.get(option, []), *value] if several else value
    parser.set_defaults(**values)
    result = parser.parse_args(args.argv)
    result.command, result.argv, result.preset = args.command, args.argv, name
    return result


def show_run_file(args: argparse.Namespace, declare: Declare, out: Output) -> bool:
    """Print the options as a run file in TOML, if that was asked for, and say whether it was."""
    if not args.show_config:
        return False
    parser = argparse.ArgumentParser(prog="layergym", add_help=False)
    declare(parser)
    for line in _lines(args, parser):
        out.show(line)
    return True


def _lines(args: argparse.Namespace, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"# layergym {args.command} --config FILE reads this; the command line holds instead."
    tables = {option: table for table, option in TABLES.items()}
    for action in parser._actions:
        if action.dest in _NEVER or action.dest in tables:
            continue
        yield ""
        yield f"# {' '.join((action.help or '').replace('%%', '%').split())}"
        value = getattr(args, action.dest)
        empty = value is None or value == ""
        yield f"# {action.dest} =" if empty else f"{action.dest} = {_toml(value)}"
    for option, table in tables.items():
        if option in vars(args):
            yield ""
            yield f"[{table}]"
            values = named_values(getattr(args, option), "")
            yield from (f"{name} = {_toml(value)}" for name, value in values.items())


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{json.dumps(str(k))} = {_toml(v)}" for k, v in value.items())
        return f"{{{inside}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(str(value) if isinstance(value, Path) else value)


def _options(path: Path, actions: Mapping[str, argparse.Action]) -> dict[str, Any]:
    """What a run file says, by option, as the command line would read it."""
    options: dict[str, Any] = {}
    for key, value in _read(path).items():
        name = str(key).replace("-", "_")
        name = TABLES.get(name, CALLED.get(name, name))
        if name in _NEVER:
            raise InputError(f"{path}: {key} is about one call; give it on the command line")
        if name not in actions:
            if "set" not in actions:
                raise InputError(f"{path}: this command has no option {key}; see its --help")
            name, value = "set", {key: value}
        try:
            given = _as_given(actions[name], value)
        except (argparse.ArgumentTypeError, InputError) as error:
            raise InputError(f"{path}: {key}: {error}") from None
        options[name] = [*options.get("set", []), *given] if name == "set" else given
    return options


def _read(path: Path) -> dict[Any, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = _yaml(text) if path.suffix in (".yaml", ".yml") else tomllib.loads(text)
        if any(not writable(inside) for inside in _texts(content)):
            raise ValueError("a text in it has a null character, or half of a surrogate pair")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as a run file: {briefly(error)}; write TOML or YAML"
        ) from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is no run file: it must hold names and values")
    return {key: value for key, value in content.items() if value is not None}


def _texts(value: Any) -> Iterator[str]:
    """All names and texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list):
        for inside in value:
            yield from _texts(inside)


def _yaml(text: str) -> Any:
    import yaml

    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise ValueError("it refers to another place (*name); write the value out there")
        _check_names(yaml.compose(text, yaml.SafeLoader))
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _check_names(node: yaml.Node | None) -> None:
    """Refuse a table that has a name twice, of which PyYAML would keep the last."""
    import yaml

    if not isinstance(node, yaml.MappingNode):
        return
    names = [str(key.value) for key, _ in node.value]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"it says {twice[0]} twice")
    for _, inner in node.value:
        _check_names(inner)


def _as_given(action: argparse.Action, value: Any) -> Any:
    """A value as the command line would have read it."""
    if isinstance(action, argparse._AppendAction):
        if isinstance(value, list):
            return [_one(action, item) for item in value]
        if not isinstance(value, Mapping):
            raise InputError("it takes a table of names and values")
        return [f"{name}={json.dumps(item, default=str)}" for name, item in value.items()]
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise InputError(f"it takes true or false, not {short(repr(value))}")
        return value
    if action.nargs in ("+", "*"):
        return [_one(action, item) for item in (value if isinstance(value, list) else [value])]
    return _one(action, value)


def _one(action: argparse.Action, value: Any) -> Any:
    if isinstance(value, bool | list | Mapping):
        raise InputError(f"it takes one number or text, not {short(repr(value))}")
    read = action.type if callable(action.type) else str
    try:
        read_value = read(str(value))
    except ValueError as error:
        raise InputError(str(error)) from error
    if action.choices is not None and read_value not in action.choices:
        raise InputError(f"it is one of {', '.join(map(str, action.choices))}, not {value!r}")
    return read_value
