"""From folders and files to a `Report`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from layergym.base.errors import InputError
from layergym.base.hub import fetched, on_hub
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.contribution.profile_file import read_profile
from layergym.evals.contribution.published import read_table
from layergym.evals.report.model import Report, Section
from layergym.evals.report.sections.episodes import compared_episodes, episode_sections
from layergym.evals.report.sections.evaluations import eval_sections
from layergym.evals.report.sections.profile import profile_sections
from layergym.evals.report.sections.published import published_section
from layergym.evals.report.sections.run import (
    costs,
    run_sections,
    sweep_sections,
)
from layergym.evals.report.sections.stability import stability_section
from layergym.evals.report.sections.unfinished import unfinished_section
from layergym.evals.report.study import Finished, Study, usable_studies
from layergym.evals.result_files import is_sweep, read_run, read_sweep
from layergym.evals.results import Run
from layergym.evals.score.contest import is_contest


@dataclass(frozen=True)
class _Source:
    name: str
    sections: tuple[Section, ...]
    profile: LayerProfile | None = None
    runs: tuple[Run, ...] = ()
    finished: Finished | None = None
    title: str = "Training run"


def build(paths: Sequence[Path], *, kept: bool = True) -> Report:
    """Read folders of sweeps, runs and evaluations, `profile.json` files, published CSV tables.

    Args:
        paths: what to read.
        kept: whether the folders stay; nobody is sent to one that does not.

    Raises:
        InputError: no path is given, or a path is damaged or something else.
    """
    if not paths:
        raise InputError("a report needs at least one run or sweep folder, profile or CSV table")
    studies = usable_studies()
    sources = [_read(Path(path), kept, studies) for path in paths]
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        sources = [replace(s, name=f"{s.name} ({i})") for i, s in enumerate(sources, start=1)]
    sections = []
    for source in sources:
        sections += [
            replace(s, heading=_named(source, s.heading, len(sources))) for s in source.sections
        ]
    profiles = tuple(replace(s.profile, name=s.name) for s in sources if s.profile is not None)
    ranked = [profile for profile in profiles if profile.measures[0].layers]
    first = [stability_section(ranked)] if len(ranked) > 1 else []
    swept = [
        replace(s.finished, profile=replace(s.finished.profile, name=s.name))
        for s in sources
        if s.finished
    ]
    over = [section for study in studies for section in study.over_sweeps(swept)]
    sections[:0] = [*first, *over]
    sections[:0] = [section for source in sources for section in _unfinished(source, len(sources))]
    return Report(
        title=_title(sources),
        subtitle="; ".join(dict.fromkeys(map(_about, sources))),
        sections=tuple(sections),
        profiles=profiles,
        costs=costs([run for source in sources for run in source.runs]),
    )


def _read(path: Path, kept: bool, studies: Sequence[Study]) -> _Source:
    if on_hub(path):
        path = fetched(path) / "profile.json"
    if path.suffix.lower() == ".csv":
        table = read_table(path)
        more = published_section(table)
        sections = (*profile_sections(table.profile), *([more] if more else []))
        return _Source(path.stem, sections, table.profile)
    if path.suffix.lower() == ".json":
        profile = read_profile(path)
        return _Source(profile.name, profile_sections(profile), profile)
    if not path.is_dir():
        raise InputError(f"{path} does not exist; give a run or sweep folder, profile or CSV table")
    if is_contest(path):
        episodes = episode_sections(path) if kept else ()
        return _Source(path.resolve().name, eval_sections(path) + episodes, title="Evaluation")
    if not is_sweep(path):
        run = read_run(path)
        name = f"{run.arm.label}, seed {run.seed}"
        return _Source(name, run_sections(run) + episode_sections(path), None, (run,))
    sweep = read_sweep(path)
    finished = Finished.of(sweep)
    profile = finished.profile
    asked = tuple(section for study in studies for section in study.of_sweep(finished))
    sections = profile_sections(profile) + asked + sweep_sections(finished)
    sections += compared_episodes(finished)
    return _Source(profile.name, sections, profile, sweep.runs, finished)


def _unfinished(source: _Source, sources: int) -> list[Section]:
    section = unfinished_section(source.finished.sweep) if source.finished else None
    if section is None:
        return []
    return [replace(section, heading=_named(source, section.heading, sources))]


def _named(source: _Source, heading: str, sources: int) -> str:
    return f"{source.name}: {heading}" if sources > 1 else heading


def _title(sources: Sequence[_Source]) -> str:
    if all(source.profile is None for source in sources):
        titles = {source.title for source in sources}
        return titles.pop() + "s" * (len(sources) > 1) if len(titles) == 1 else "Runs"
    return "Layer contribution"


def _about(source: _Source) -> str:
    profile = source.profile
    if profile is None:
        return source.name
    known = [profile.model, profile.algorithm, profile.env_id]
    return " · ".join([profile.name, *(text for text in known if text != "unknown")])
