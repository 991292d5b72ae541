"""Host side: which files of this machine a run has to see.

These are the interpreter, the standard library without `site-packages`, time zones, the packages
asked for, and the shared libraries that these load. The interpreter itself says where they are, so
that it makes no difference how it was installed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import zoneinfo
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from layergym.base.errors import InputError
from layergym.envs.sandbox.jail import is_package_folder

# Prints where modules are looked for, and all shared libraries after the extension modules of the
# standard library and of the given folders have been loaded (not initialised).
_ASK = """
import ctypes, json, os, sys

class Loaded(ctypes.Structure):
    _fields_ = [("address", ctypes.c_size_t), ("name", ctypes.c_char_p)]

@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Loaded), ctypes.c_size_t, ctypes.c_void_p)
def note(loaded, size, data):
    libraries.append(os.path.normpath(os.fsdecode(loaded.contents.name)))
    return 0

libraries = []
dynamic = [path for path in sys.path if path.endswith("lib-dynload")]
for top in [*dynamic, *sys.argv[1:]]:
    for folder, _, names in os.walk(top):
        for name in names:
            if ".so" in name:
                try:
                    ctypes.CDLL(os.path.join(folder, name), os.RTLD_LAZY)
                except OSError:
                    pass
try:
    ctypes.CDLL("libgcc_s.so.1")  # loaded late by libc
except OSError:
    pass
ctypes.CDLL(None).dl_iterate_phdr(note, None)
print(json.dumps([sys.path, libraries]))
"""
_ASK_TIMEOUT_S = 120.0


def package_folder(name: str) -> str:
    """Where the installed package `name` is.

    Raises:
        InputError: it is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"the sandbox was asked for the package {name}, which is not installed; "
            "install it, or leave it out"
        )
    return str(Path(spec.submodule_search_locations[0]).resolve())


@cache
def readable(python: str, packages: tuple[str, ...]) -> tuple[str, ...]:
    """Files and folders to see, for the interpreter `python` and folders of packages.

    A folder counts without the `site-packages` in it; what comes later may lie in there.

    Raises:
        OSError: the interpreter does not answer.
    """
    libraries = [f"{folder}.libs" for folder in packages]  # shared libraries of a wheel
    folders = [*packages, *(folder for folder in libraries if os.path.isdir(folder))]
    paths, loaded = _ask(python, folders)
    return _without_covered([python, *paths, *zoneinfo.TZPATH, *folders, *loaded])


def library_path(readable: Iterable[str]) -> str:
    """Folders of the shared libraries, for a loader that cannot see the system's index of them."""
    files = (path for path in readable if ".so" in os.path.basename(path))
    return ":".join(dict.fromkeys(os.path.dirname(path) for path in files))


def _ask(python: str, folders: Sequence[str]) -> tuple[list[str], list[str]]:
    command = [python, "-I", "-S", "-c", _ASK, *folders]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_ASK_TIMEOUT_S
        )
        paths, libraries = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError) as error:
        raise OSError(f"{python} does not say where its libraries are") from error
    return paths, libraries


def _without_covered(paths: Iterable[str]) -> tuple[str, ...]:
    kept: list[str] = []
    for path in paths:
        if os.path.isabs(path) and os.path.exists(path) and not _covered(path, kept):
            kept.append(path)
    return tuple(kept)


def _covered(path: str, folders: Iterable[str]) -> bool:
    """Whether `path` is one of `folders` or in one, outside its `site-packages`."""
    for folder in folders:
        if path == folder:
            return True
        rest = path.removeprefix(f"{folder}/")
        if rest != path and not any(map(is_package_folder, rest.split("/"))):
            return True
    return False
