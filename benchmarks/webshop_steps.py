"""WebShop: speed, memory and start, against the original's measured numbers, and how they grow.

Catalogues of WebShop's file format are loaded by fresh processes: the real 1,000 products with
`--data`, and generated ones of growing size. One process builds the index and writes down random
episodes; another replays them, with every cache of the process empty, in one thread. More than a
quarter of the steps are searches, and no query comes twice. Times are CPU times, so that other
work on the machine hardly counts; a start includes the imports.

The original (princeton-nlp/WebShop at 64fa2a5, Python 3.11, Java 17) was measured on another day on
a machine of the same kind: 43-49 steps/s, 510 MB, 3.4 s to start with 1,000 products.

    python benchmarks/webshop_steps.py                                  # minutes
    python benchmarks/webshop_steps.py --sizes 1000 --data path/to/webshop
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from layergym.envs.webshop import WebShop
from layergym.envs.webshop.expert import query
from layergym.envs.webshop.generated import generate_products
from layergym.envs.webshop.products import Product

ORIGINAL = {"steps/s": 46.0, "memory MB": 510.0, "start s": 3.4}
STEPS = 10_000
ENVIRONMENTS = 1024
PRODUCTS_PER_SCALE = 9_500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="WebShop's files, measured as well")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = [row("recorded: original, 1,000 products", ORIGINAL)]
        catalogues = [("real products", options.data)] if options.data else []
        for size in options.sizes:
            catalogues.append((f"{size:,} generated products", write_files(Path(folder), size)))
        for name, data in catalogues:
            cache = Path(folder) / f"cache of {name}"
            first, again = run(data, cache), run(data, cache)
            indexing = {"index s": first["start s"], "index MB": first["memory MB"]}
            rows.append(row(name, {**again, **indexing}))
    print(f"{again['searches']:.0%} of the steps are searches")
    header = (
        "steps/s",
        "x original",
        "memory MB",
        "/ original",
        "start s",
        "index s",
        "index MB",
        "disk MB",
    )
    print(f"{'':36}" + "".join(f"{title:>12}" for title in header))
    print("\n".join(rows))
    print(
        f"memory: peak resident set after the steps, with {ENVIRONMENTS:,} environments, mapped "
        "pages included; index: the first start, from the JSON files; start: every later one"
    )


def row(name: str, got: dict[str, float]) -> str:
    cells = [
        f"{got['steps/s']:,.0f}",
        f"{got['steps/s'] / ORIGINAL['steps/s']:.0f}",
        f"{got['memory MB']:.0f}",
        f"{got['memory MB'] / ORIGINAL['memory MB']:.2f}",
        f"{got['start s']:.2f}",
        f"{got['index s']:.1f}" if "index s" in got else "",
        f"{got['index MB']:.0f}" if "index MB" in got else "",
        f"{got['disk MB']:.1f}" if "disk MB" in got else "",
    ]
    return f"{name:36}" + "".join(f"{cell:>12}" for cell in cells)


def run(data: Path, cache: Path) -> dict[str, float]:
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--measure", str(data)]
    environment = {**os.environ, "LAYERGYM_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure(data: Path) -> dict[str, float]:
    """Start, then replay the episodes that an earlier process wrote down, or write them down."""
    environments = [WebShop(data=data) for _ in range(ENVIRONMENTS)]
    for env in environments:
        env.reset(seed=0)
    result = {"start s": time.process_time()}
    cache = Path(os.environ["LAYERGYM_CACHE"])
    written = cache / "episodes.json"
    if not written.exists():
        result["memory MB"] = peak_memory()
        written.write_text(json.dumps(episodes(environments[0])))
        return result
    plan = json.loads(written.read_text())
    env = environments[0]
    start = time.process_time()
    for task, actions in plan:
        env.reset(options={"task": task})
        for action in actions:
            env.step(action)
    steps = sum(len(actions) for _, actions in plan)
    result["steps/s"] = steps / (time.process_time() - start)
    result["memory MB"] = peak_memory()
    result["searches"] = sum(a.startswith("search") for _, actions in plan for a in actions) / steps
    result["disk MB"] = sum(f.stat().st_size for f in cache.rglob("*.*") if f != written) / 1e6
    return result


def peak_memory() -> float:
    """The peak resident set of this process alone, MB; `getrusage` would count its parent's."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def episodes(env: WebShop) -> list[tuple[str, list[str]]]:
    """Random episodes: (task, actions)."""
    draw = random.Random(0)
    plan: list[tuple[str, list[str]]] = []
    while sum(len(actions) for _, actions in plan) < STEPS:
        _, info = env.reset()
        words = query(env.goal.instruction).split()
        actions: list[str] = []
        while len(actions) < env.max_turns:
            if env.state.page == "home" or draw.random() < 0.2:
                some = draw.sample(words, draw.randint(3, len(words)))
                actions.append(f"search[{' '.join(some)} {len(plan)}x{len(actions)}]")
            else:
                actions.append(draw.choice(env.admissible()))
            if env.step(actions[-1])[2]:
                break
        plan.append((info["task"], actions))
    return plan


def write_files(folder: Path, size: int) -> Path:
    """Generated products as WebShop's files."""
    products = itertools.islice(generate_products(1 + size // PRODUCTS_PER_SCALE), size)
    items: list[dict[str, Any]] = []
    about: dict[str, dict[str, Any]] = {}
    for product in products:
        items.append(raw(product))
        wanted = list(product.attributes[:3])
        about[product.asin] = {
            "attributes": product.attributes,
            "instruction": f"Find me {', '.join(wanted)} {product.query}",
            "instruction_attributes": wanted,
        }
    ending = f"_{size}"
    data = folder / f"items_shuffle{ending}.json"
    data.write_text(json.dumps(items))
    (folder / f"items_ins_v2{ending}.json").write_text(json.dumps(about))
    return data


def raw(product: Product) -> dict[str, Any]:
    options = {name: [{"value": v} for v in vs] for name, vs in product.options.items()}
    return {
        "asin": product.asin,
        "name": product.title,
        "full_description": product.description,
        "small_description": product.bullets,
        "pricing": product.price_tag,
        "customization_options": options,
        "category": product.category,
        "query": product.query,
        "product_category": product.product_category,
    }


if __name__ == "__main__":
    main()
