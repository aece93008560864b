"""Turn results.json into results.md, a picture of it, and the figures of the README."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.contenders import REFERENCE
from benchmarks.depth import DEPTH
from benchmarks.first_answer import STAGES
from benchmarks.rendering import COPY, FLOOR, UPDATE
from benchmarks.startup import IMPORTS
from benchmarks.workbench import MODULES
from tests.projects import ROOT

OURS = {count: f"this template, {count} modules" for count in MODULES}
RAW = "FastAPI and asyncpg"
S3RIUS = "fastapi_template (s3rius)"
MAIN_SETTING = "1 worker, 16 connections"
READS = ("read one", "page of 50")
ENDPOINTS = (*READS, "create")
RATE = "requests per second"
README_BLOCK = re.compile(r"(<!-- figures -->\n).*?(<!-- end of figures -->)", re.DOTALL)
HEAD = """# Results

Made by `nox -s bench`, which says with `-- --help` how to repeat a stage. All that is compared took
turns in one run on one machine. Figures are medians of the rounds, the least and the most in
brackets; a ratio is taken in each round and relates to a minimal application of {reference} with
the same endpoints and nothing around them: no log, no request id, no limits. [tried.md](tried.md)
says what was tried to be faster.
"""


def write(results: Mapping[str, Any], folder: Path) -> None:
    """Write what the results tell to a folder, and to the README if it is the repository's."""
    parts = [HEAD.format(reference=REFERENCE), *targets(results)]
    for stage, section in SECTIONS.items():
        if stage in results:
            parts += ["", *section(results[stage]["figures"]), "", _made(stage, results[stage])]
    (folder / "results.md").write_text("\n".join(parts) + "\n", "utf-8")
    if "requests" in results:
        draw(results["requests"]["figures"][MAIN_SETTING], folder / "results.svg")
    if folder == ROOT / "benchmarks":
        readme = ROOT / "README.md"
        text = "\n".join([*targets(results), "", *map(_line, results.items()), ""])
        found = README_BLOCK.sub(rf"\g<1>{text}\g<2>", readme.read_text("utf-8"))
        readme.write_text(found, "utf-8")


def _line(item: tuple[str, Any]) -> str:
    return _made(*item)


def _made(stage: str, made: Mapping[str, Any]) -> str:
    return f"*`nox -s bench -- {made['options']}`, {made['on']}, {made['versions']}.*"


def targets(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table of what the project wants to reach, and what it reached."""
    yield "| target | measured | |"
    yield "|---|---|---|"
    for name, value, limit, is_most in _reached(results):
        is_met = value <= limit if is_most else value >= limit
        word = "at most" if is_most else "at least"
        yield f"| {name}: {word} {limit:g} | {value:.2f} | {'met' if is_met else 'not met'} |"


def _reached(results: Mapping[str, Any]) -> Iterator[tuple[str, float, float, bool]]:
    if "requests" in results:
        figures = results["requests"]["figures"][MAIN_SETTING]
        for endpoint in ENDPOINTS:
            for name in OURS.values():
                ratio = median(ratios(figures[endpoint], name, REFERENCE))
                yield f"{endpoint}, {name}, throughput / that of {REFERENCE}", ratio, 1, False
        for endpoint in READS:
            ratio = median(ratios(figures[endpoint], OURS[2], RAW))
            yield f"{endpoint}, throughput / that of {RAW}", ratio, 0.5, False
            if S3RIUS in figures[endpoint]:
                ratio = median(ratios(figures[endpoint], OURS[2], S3RIUS))
                yield f"{endpoint}, throughput / that of {S3RIUS}", ratio, 2, False
    if "depth" in results:
        first, deep = list(results["depth"]["figures"].values())[:2]
        ratio = median(one / other for one, other in zip(first, deep, strict=True))
        yield f"cost of a page at row {DEPTH:,} of a million / of the first", ratio, 1.25, True
    if "rendering" in results:
        figures = results["rendering"]["figures"]
        yield "`copier copy` / a template with one file", _ratio(figures, COPY, FLOOR), 1.5, True
        yield "adding a module by update / `copier copy`", _ratio(figures, UPDATE, COPY), 3, True
    if "first-answer" in results:
        totals = _totals(results["first-answer"]["figures"])
        mine = totals.pop("this template")
        yield "seconds from an empty folder to the first answer", median(mine), 10, True
        for name, theirs in totals.items():
            ratio = median(one / other for one, other in zip(mine, theirs, strict=True))
            yield f"the same / that of {name}", ratio, 1, True
    if "startup" in results:
        figures = results["startup"]["figures"]["seconds"]
        ratio = _ratio(figures, "alembic upgrade head, nothing to do", f"python -c '{IMPORTS}'")
        yield "`alembic upgrade head` with nothing to do / its imports", ratio, 1.3, True
    if "suite" in results:
        for name, found in results["suite"]["figures"].items():
            yield f"seconds of a project's tests, {name}", median(found["seconds"]), 10, True
    if "template-suite" in results:
        minutes = results["template-suite"]["figures"]["seconds"] / 60
        yield "minutes of the template's tests", minutes, 15, True


def _ratio(figures: Mapping[str, Sequence[float]], name: str, other: str) -> float:
    return median(one / two for one, two in zip(figures[name], figures[other], strict=True))


def _totals(figures: Mapping[str, Any]) -> dict[str, list[float]]:
    return {name: [sum(one) for one in rounds] for name, rounds in figures["seconds"].items()}


def ratios(found: Mapping[str, Any], name: str, other: str) -> list[float]:
    """Return the throughput of a contender in each round, relative to another's."""
    pairs = zip(found[name], found[other], strict=True)
    return [one[RATE] / two[RATE] for one, two in pairs]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median, and the least and most."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def requests(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "## Requests\n\nA table of 100,000 rows, the last of the modules asked."
    for setting, endpoints in figures.items():
        yield f"\n### Throughput relative to {REFERENCE}: {setting}\n"
        names = dict.fromkeys(name for found in endpoints.values() for name in found)
        yield from _table(
            ["", *endpoints],
            (
                [
                    name,
                    *(
                        spread(ratios(found, name, REFERENCE)) if name in found else ""
                        for found in endpoints.values()
                    ),
                ]
                for name in names
            ),
        )
    for endpoint, found in figures[MAIN_SETTING].items():
        kinds = list(found[REFERENCE][0])
        yield f"\n### {endpoint.capitalize()}: {MAIN_SETTING}\n"
        yield from _table(
            ["", *kinds],
            ([name, *(_median(rounds, kind) for kind in kinds)] for name, rounds in found.items()),
        )
    yield (
        f"\n{S3RIUS} has its items added in its own style, and commits after the answer. Of the"
        " larger peers, one is not in the registry, and others have no such module to be compared."
    )


def _median(rounds: Sequence[Mapping[str, float]], kind: str) -> str:
    return f"{median(one[kind] for one in rounds):.4g}" if kind in rounds[0] else ""


def depth(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "## Depth\n\nPages of 50 of a million rows, one connection.\n"
    yield from _table(
        ["", "requests per second"],
        ([name, spread(values, 0)] for name, values in figures.items()),
    )


def seconds(title: str, figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"{title}\n"
    yield from _table(["", "seconds"], ([name, spread(values)] for name, values in figures.items()))


def rendering(figures: Mapping[str, Any]) -> Iterator[str]:
    yield from seconds(
        "## Rendering\n\nWhole processes, without what a template installs.", figures
    )


def first_answer(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "## From an empty folder to the first answer\n\nSeconds; packages from a warm cache.\n"
    totals = _totals(figures)
    yield from _table(
        ["", *STAGES, "all"],
        (
            [
                name,
                *(f"{median(stage):.2f}" for stage in zip(*rounds, strict=True)),
                spread(totals[name]),
            ]
            for name, rounds in figures["seconds"].items()
        ),
    )


def startup(figures: Mapping[str, Any]) -> Iterator[str]:
    yield from seconds("## Start-up", figures["seconds"])
    for kind in ("memory of an idle worker, MiB", "imports of app.main, ms"):
        yield ""
        rows = ([name, f"{value:.0f}"] for name, value in figures[kind].items())
        yield from _table(["", kind], rows)
    yield "\nSeconds of `alembic upgrade head` by revisions after the first:\n"
    rows = (
        [size, *(spread(values) for values in zip(*times, strict=True))]
        for size, times in figures["revisions"].items()
    )
    yield from _table(["revisions", "from nothing", "nothing to do"], rows)


def suite(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "## A project's tests\n"
    yield from _table(
        ["", "tests", "seconds"],
        ([name, str(one["tests"]), spread(one["seconds"], 1)] for name, one in figures.items()),
    )


def template_suite(figures: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"## The template's tests\n\n{figures['tests']} tests, {figures['failed']} failed, in"
        f" {figures['seconds'] / 60:.1f} minutes. By file, seconds of all workers:\n"
    )
    by_file = figures["seconds of each file, of all workers"]
    yield from _table(["", "seconds"], ([name, f"{one:.0f}"] for name, one in by_file.items()))


SECTIONS = {
    "requests": requests,
    "depth": depth,
    "rendering": rendering,
    "first-answer": first_answer,
    "startup": startup,
    "suite": suite,
    "template-suite": template_suite,
}


def draw(endpoints: Mapping[str, Any], file: Path) -> None:
    """Draw the throughputs as bars; those of the SQL alone would leave no room for others."""
    names = [name for name in endpoints["read one"] if "pgbench" not in name]
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    places = figure.subplots(1, len(ENDPOINTS), sharey=True)
    for place, endpoint in zip(places, ENDPOINTS, strict=True):
        values = [median(ratios(endpoints[endpoint], name, REFERENCE)) for name in names]
        colours = ["#2563eb" if name in OURS.values() else "#94a3b8" for name in names]
        bars = place.barh(names, values, color=colours)
        place.bar_label(bars, fmt="%.2f", padding=3)
        place.axvline(1, color="#64748b", linewidth=0.8, linestyle="--")
        place.set_title(endpoint)
        place.set_xlim(0, max(values) * 1.2)
        place.spines[["top", "right"]].set_visible(False)
    figure.axes[0].invert_yaxis()
    figure.supxlabel(f"throughput relative to {REFERENCE}, {MAIN_SETTING}")
    # Text stays text, and the same figures give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "results"}):
        figure.savefig(file, metadata={"Date": None})
