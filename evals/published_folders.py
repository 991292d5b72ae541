"""What a sweep measured, and episodes, for other people: folders with a card, as for the hub."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from shutil import copyfile

from layergym.agents.export import fill_dataset
from layergym.agents.trajectories import NAME, Record, read_records, record_files, write_records
from layergym.base.errors import InputError
from layergym.base.files import write_text
from layergym.base.locks import staged
from layergym.base.texts import shell_line
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.contribution.profile_file import read_profile

PROFILE = Path("report", "profile.json")


def package_profile(sweep: Path, folder: Path) -> Path:
    """Write the layer profile of a finished sweep, its report in Markdown, and a card.

    Raises:
        InputError: the sweep has no report yet.
    """
    if not (sweep / PROFILE).is_file():
        raise InputError(
            f"{sweep} has no {PROFILE}; make the report first: {shell_line('report', sweep)}"
        )
    profile = read_profile(sweep / PROFILE)
    with staged(folder) as scratch:
        copyfile(sweep / PROFILE, scratch / PROFILE.name)
        report = sweep / "report" / "report.md"
        text = report.read_text(encoding="utf-8") if report.is_file() else ""
        write_text(scratch / "README.md", _profile_card(profile) + text)
    return folder


def package_episodes(place: Path, folder: Path) -> Path:
    """Write all episodes that a folder keeps: as a dataset, as they were kept, and a card.

    Raises:
        InputError: it keeps none.
    """
    records = [record for file in record_files(place) for record in read_records(file)]
    if not records:
        raise InputError(f"{place} holds no episode")
    with staged(folder) as scratch:
        write_records(scratch / NAME, records)
        fill_dataset(scratch, records)
        write_text(scratch / "README.md", _episodes_card(records))
    return folder


def _profile_card(profile: LayerProfile) -> str:
    lines = [
        "---",
        "tags: [layergym, layer-profile]",
        "viewer: false",
        "---",
        "",
        f"# What each layer of {profile.model} contributes",
        "",
        f"{profile.algorithm} in {profile.env_id}; {profile.tasks} tasks x {profile.repeats} "
        f"episodes, {profile.seeds[0]} to {profile.seeds[1]} seeds of training per arm; panel "
        f"`{profile.panel_hash}`, model `{profile.model_hash}`.",
        "",
        "    layergym report hf://datasets/OWNER/NAME",
        '    layergym train ENV --layers "top:3@hf://datasets/OWNER/NAME"',
        "",
    ]
    return "\n".join(lines) + "\n"


def _episodes_card(records: Iterable[Record]) -> str:
    played = list(records)
    agents = sorted({record.agent for record in played})
    environments = sorted({record.trajectory.env_id for record in played})
    won = sum(record.trajectory.success for record in played)
    lines = [
        "---",
        "tags: [layergym, reinforcement-learning, agents]",
        "configs:",
        "- config_name: default",
        "  data_files: data/*.parquet",
        "---",
        "",
        f"# Episodes in {', '.join(environments)}",
        "",
        f"{len(played)} episodes, {won} of them solved, by {', '.join(agents)}. One row each: the "
        "facts, `turns` as a list of objects, and `messages`, the conversation in the form that "
        "trl.SFTTrainer reads.",
        "",
        "    datasets.load_dataset('OWNER/NAME', split='train')",
        "    layergym trajectories hf://datasets/OWNER/NAME",
        "",
    ]
    return "\n".join(lines)
