"""The picture of a training run: a pure function of its state and the room there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from statistics import fmean
from typing import TYPE_CHECKING

from rich.cells import set_cell_size
from rich.text import Text

from layergym.cli.views.marks import MISSING, bar, curve, duration, percent

if TYPE_CHECKING:
    from layergym.cli.views.run_state import RunState

RECENT = 10
"""Steps that a mean is over."""
WIDE = 110
"""Columns from which on two sections stand side by side."""
_GAP = 4
_LATE_S = 30.0
"""Without a turn for so long, an episode is named."""
_METRICS = {
    "reward": ("reward", "{:.3f}"),
    "success": ("success", "{:.1%}"),
    "held_out/success": ("held-out success", "{:.1%}"),
    "turns": ("turns", "{:.1f}"),
    "invalid": ("invalid turns", "{:.1%}"),
    "shortened": ("history shortened", "{:.1%}"),
    "out_of_context": ("out of context", "{:.1%}"),
    "episodes_failed": ("failed episodes", "{:.3g}"),
    "groups_zero_variance": ("tasks without signal", "{:.0%}"),
    "step_groups_shared": ("step groups > 1", "{:.0%}"),
    "step_group_size": ("step group size", "{:.2f}"),
    "grad_norm": ("gradient norm", "{:.3g}"),
    "kl": ("KL", "{:.2g}"),
    "mismatch": ("sampler mismatch", "{:.1e}"),
    "time/slots_wanted": ("wanted slots", "{:.1%}"),
}
"""Metric, name, format."""
_TROUBLES = frozenset({"shortened", "out_of_context", "episodes_failed"})
"""Drawn once there has been any."""
_NAME, _CELL = max(len(name) for name, _ in _METRICS.values()), 9
_PHASES = {
    "rollout": ("█", "cyan"),
    "env": ("▓", "green"),
    "update": ("▒", "magenta"),
    "sync": ("░", "yellow"),
}

MetricsRow = Mapping[str, float]


def draw_run(state: RunState, width: int, height: int) -> list[Text]:
    """The run as lines of at most `width` columns, at most `height` of them.

    What matters least is left out first where there are too few lines.
    """
    head = [_title(state, width), _progress(state, width), _doing(state)]
    if not state.rows:
        return _cropped(head, width)[:height]
    rows, last = state.rows, state.rows[-1]
    wide = width >= WIDE
    half = (width - _GAP) // 2 if wide else width
    right = [_strip(last, state.num_layers, half), _kinds(rows, half), _time(rows, half)]
    room = height - len(head)
    if wide:
        body = _beside(_metrics(rows, half), _joined(right, room), half)
    else:
        # Success by kind has the most lines and is missed least.
        sections = [_metrics(rows, width), right[0], right[2], right[1]]
        kept = _fitting(sections, room)
        body = _joined([kept[0], kept[1], kept[3], kept[2]], room)
    return _cropped([*head, Text(), *body], width)[:height]


# ---- parts --------------------------------------------------------------------------------------


def _title(state: RunState, width: int) -> Text:
    spec = state.spec
    name = f"{spec.env} · {spec.model} · {spec.algorithm} · layers {spec.layers}"
    folder = str(state.folder)
    gap = width - len(name) - len(folder)
    line = Text(name, style="bold")
    return line.append(" " * gap + folder, "not bold dim") if gap >= 2 else line


def _progress(state: RunState, width: int) -> Text:
    step, steps = state.step, state.spec.steps
    before = f"step {step} of {steps} "
    left = f", about {duration(state.left_s)} left" if state.left_s and step < steps else ""
    after = f" {duration(state.elapsed_s)}{left}"
    room = min(60, max(0, width - len(before) - len(after)))
    done = room * step // max(steps, 1)
    line = Text(before).append("━" * done, "green").append("─" * (room - done), "dim")
    return line.append(after)


def _doing(state: RunState) -> Text:
    if state.notice:
        return Text(state.notice, style="yellow")
    playing = state.playing
    if not playing.turns:
        return Text("starting" if not state.ends else "training", style="dim")
    [(longest, turns)] = playing.turns.most_common(1)
    parts = [
        f"{len(playing.over)} of {state.episodes} episodes over, {len(playing.last)} playing",
        f"longest: {longest} with {turns} turns",
        f"{playing.tokens_per_s:,.0f} tokens/s",
    ]
    late = [f"{episode} ({duration(s)})" for episode, s in playing.stragglers if s > _LATE_S]
    parts += [f"no turn from {', '.join(late)}"] if late else []
    return Text(" · ".join(parts), style="dim")


def _metrics(rows: Sequence[MetricsRow], width: int) -> list[Text]:
    room = width - _NAME - 2 * (_CELL + 1)
    lines = [Text(f"{'':{_NAME}} {'now':>{_CELL}} {f'mean {RECENT}':>{_CELL}}", style="dim")]
    if room > 12:
        lines[0].append("  since the first step")
    for key, (name, form) in _METRICS.items():
        values = [_value(row, key) for row in rows]
        if not any(isfinite(v) and (v > 0 or key not in _TROUBLES) for v in values):
            continue
        now, mean = _last(values), _mean(values[-RECENT:])
        cells = (_number(form, value).rjust(_CELL) for value in (now, mean))
        line = Text(f"{name:{_NAME}} {' '.join(cells)}")
        if room > 12:
            line.append("  " + curve(values, room - 2), "cyan")
        lines.append(line)
    return lines


def _strip(last: MetricsRow, num_layers: int, width: int) -> list[Text]:
    """Gradient norm by layer in the last step, the largest highest; a dot does not train."""
    logged = {i: _value(last, f"grad_norm/layer_{i}") for i in range(num_layers)}
    norms = {i: norm for i, norm in logged.items() if isfinite(norm)}
    if not norms:
        return []
    top = max(norms, key=norms.__getitem__)
    marks = "".join(bar(logged[i], 0.0, norms[top]) if i in norms else MISSING for i in logged)
    title = Text("gradient by layer", style="dim")
    label = f"0 {{}} {num_layers - 1}   layer {top}: {norms[top]:.3g}"
    if len(label.format(marks)) <= width:
        before, after = label.format("\n").split("\n")
        return [title, Text(before).append(marks, "cyan").append(after)]
    parts = [marks[start : start + width] for start in range(0, len(marks), width)]
    return [title, *(Text(part, style="cyan") for part in parts)]


def _kinds(rows: Sequence[MetricsRow], width: int) -> list[Text]:
    """Success by kind of task over the last steps."""
    recent = rows[-RECENT:]
    names = sorted({k for row in recent for k in row if k.startswith("success/")})
    if not names:
        return []
    shown = {name: name.removeprefix("success/").replace("_", " ") for name in names}
    label = min(max(map(len, shown.values())), max(12, width - 30))
    lines = [Text(f"success by task type, last {RECENT} steps", style="dim")]
    for name in names:
        value = _mean([_value(row, name) for row in recent])
        room = min(20, max(0, width - label - _CELL - 1))
        line = Text(f"{set_cell_size(shown[name], label)} {percent(value):>{_CELL - 1}} ")
        lines.append(line.append("━" * round(room * value), "green"))
    return lines


def _time(rows: Sequence[MetricsRow], width: int) -> list[Text]:
    """Where the time of the last steps went, tokens per second, memory."""
    recent = rows[-RECENT:]
    spent = {name: _mean([_phase(row, name) for row in recent]) for name in _PHASES}
    spent = {name: seconds for name, seconds in spent.items() if seconds > 0}
    total = sum(spent.values())
    if not total:
        return []
    chart, legend = Text(), Text()
    for name, seconds in spent.items():
        mark, style = _PHASES[name]
        chart.append(mark * round(min(60, width) * seconds / total), style)
        share = _number("{:.0%}", seconds / total)
        legend.append(f"{mark} ", style).append(f"{name} {share}  ")
    tokens = sum(row.get("tokens", 0.0) for row in recent)
    seconds = sum(row.get("time/rollout_s", 0.0) for row in recent)
    facts = [f"{tokens / seconds:,.0f} sampled tokens/s"] if tokens and seconds else []
    if memory := recent[-1].get("memory_bytes"):
        facts.append(f"memory {memory / 2**30:.2f} GiB")
    title = Text(f"time, {total:.1f} s per step", style="dim")
    return [title, chart, legend, Text("   ".join(facts))]


def _phase(row: MetricsRow, name: str) -> float:
    """Seconds of a step; the environments' and the weights' way to a sampler are in a rollout."""
    env, sync = row.get("time/env_s", 0.0), row.get("time/sync_s", 0.0)
    return {
        "rollout": row.get("time/rollout_s", 0.0) - env - sync,
        "env": env,
        "update": row.get("time/logprobs_s", 0.0) + row.get("time/update_s", 0.0),
        "sync": sync,
    }[name]


# ---- numbers ------------------------------------------------------------------------------------


def _number(form: str, value: float) -> str:
    return form.format(value).replace("%", " %") if isfinite(value) else MISSING


def _value(row: MetricsRow, key: str) -> float:
    """A metric; not-a-number where it is missing, which TRL's log writes as None."""
    value: float | None = row.get(key)
    return float("nan") if value is None else value


def _last(values: Iterable[float]) -> float:
    return next((value for value in reversed(list(values)) if isfinite(value)), float("nan"))


def _mean(values: Iterable[float]) -> float:
    kept = [value for value in values if isfinite(value)]
    return fmean(kept) if kept else float("nan")


# ---- lines --------------------------------------------------------------------------------------


def _fitting(sections: Sequence[list[Text]], room: int) -> list[list[Text]]:
    """The sections, empty where there is no room left for one whole; the first always stays."""
    kept = []
    for index, section in enumerate(sections):
        fits = len(section) + 1 <= room or index == 0
        kept.append(section if fits else [])
        room -= len(section) + 1 if fits and section else 0
    return kept


def _joined(sections: Iterable[list[Text]], room: int) -> list[Text]:
    """The sections below one another, an empty line between two where there is room."""
    kept = [section for section in sections if section]
    loose = sum(map(len, kept)) + len(kept) <= room
    lines: list[Text] = []
    for section in kept:
        lines += [Text(), *section] if lines and loose else section
    return lines


def _beside(left: Sequence[Text], right: Sequence[Text], half: int) -> list[Text]:
    lines = []
    for index in range(max(len(left), len(right))):
        line = left[index].copy() if index < len(left) else Text()
        if index < len(right):
            line.truncate(half, pad=True)
            line = line.append(" " * _GAP).append_text(right[index])
        lines.append(line)
    return lines


def _cropped(lines: Iterable[Text], width: int) -> list[Text]:
    kept = [line.copy() for line in lines]
    for line in kept:
        line.truncate(width, overflow="ellipsis")
        line.no_wrap = True
    return kept
