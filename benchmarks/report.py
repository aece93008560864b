"""Turn results.json into results.md and results.svg."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.authentication import LIMITS, READ, WITHOUT
from benchmarks.contenders import REFERENCE
from benchmarks.depth import DEPTH
from benchmarks.first_answer import STAGES
from benchmarks.jobs import CPU, ENQUEUE, PGQUEUER, WORKERS
from benchmarks.jobs import OURS as OUR_QUEUE
from benchmarks.jobs import RATE as JOB_RATE
from benchmarks.jobs import setting as jobs_setting
from benchmarks.rendering import COPY, FLOOR, UPDATE
from benchmarks.startup import IMPORTS
from benchmarks.workbench import MODULES

OURS = {count: f"this template, {count} modules" for count in MODULES}
RAW = "FastAPI and asyncpg"
S3RIUS = "fastapi_template (s3rius)"
MAIN_SETTING = "1 worker, 16 connections"
READS = ("read one", "page of 50")
ENDPOINTS = (*READS, "create")
# Targets.
CONFLICTING_FILES = {"0.2.0": 3}
RATE = "requests per second"
JOB_LABELS = {
    "nothing": "no-op",
    "session": "a row by a session",
    "asyncpg": "a row by asyncpg",
}
HEAD = """# Results

Written by `nox -s bench`; `nox -s bench -- --help` lists its stages. Within a run, everything that
is compared took turns on one machine. Figures are medians of the rounds, with the minimum and the
maximum in brackets. A ratio is computed for each round, and relates to a minimal application with
{reference} that has the same endpoints, but no logging, request ids or limits.
[Decisions](../docs/decisions/README.md) explain what was tried to improve them, and most missed
targets.
"""


def write(results: Mapping[str, Any], folder: Path) -> None:
    """Write the report and its chart to a folder."""
    parts = [HEAD.format(reference=REFERENCE), *targets(results)]
    for stage, section in SECTIONS.items():
        if stage in results:
            parts += ["", *section(results[stage]["figures"]), "", _made(stage, results[stage])]
    (folder / "results.md").write_text("\n".join(parts) + "\n", "utf-8")
    if "requests" in results:
        draw(results["requests"]["figures"][MAIN_SETTING], folder / "results.svg")


def _made(stage: str, made: Mapping[str, Any]) -> str:
    return f"*`nox -s bench -- {made['options']}`, {made['on']}, {made['versions']}.*"


def targets(results: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table of targets and measured values."""
    yield "| metric | target | measured | |"
    yield "|---|---|---:|---|"
    for name, value, limit, is_most in _reached(results):
        is_met = value <= limit if is_most else value >= limit
        word = "at most" if is_most else "at least"
        verdict = "met" if is_met else "missed"
        yield f"| {name} | {word} {limit:g} | {value:.2f} | {verdict} |"


def _reached(results: Mapping[str, Any]) -> Iterator[tuple[str, float, float, bool]]:
    if "requests" in results:
        figures = results["requests"]["figures"][MAIN_SETTING]
        for endpoint in ENDPOINTS:
            for name in OURS.values():
                ratio = median(ratios(figures[endpoint], name, REFERENCE))
                yield f"{endpoint}: {name} / {REFERENCE}, throughput", ratio, 1, False
        for endpoint in READS:
            ratio = median(ratios(figures[endpoint], OURS[2], RAW))
            yield f"{endpoint}: {OURS[2]} / {RAW}, throughput", ratio, 0.5, False
            if S3RIUS in figures[endpoint]:
                ratio = median(ratios(figures[endpoint], OURS[2], S3RIUS))
                yield f"{endpoint}: {OURS[2]} / {S3RIUS}, throughput", ratio, 2, False
    if "depth" in results:
        first, deep = list(results["depth"]["figures"].values())[:2]
        ratio = median(one / other for one, other in zip(first, deep, strict=True))
        yield f"page at row {DEPTH:,} of a million / first page, duration", ratio, 1.25, True
    if "authentication" in results:
        figures = results["authentication"]["figures"]
        for auth, limit in LIMITS.items():
            ratio = median(ratios(figures, auth, WITHOUT))
            yield f"{READ}: with `{auth}` / {WITHOUT}, throughput", ratio, 1 - limit, False
    if "jobs" in results:
        settings = results["jobs"]["figures"]["settings"]
        for workers in WORKERS:
            setting = jobs_setting(workers)
            found = settings[setting]["session"]
            ratio = median(ratios(found, OUR_QUEUE.name, PGQUEUER.name, JOB_RATE))
            name = f"{JOB_LABELS['session']}, {setting}: {OUR_QUEUE.name} / {PGQUEUER.name}"
            yield f"{name}, throughput", ratio, 1, False
    if "rendering" in results:
        figures = results["rendering"]["figures"]
        yield f"{COPY} / of a template with one file", _ratio(figures, COPY, FLOOR), 1.5, True
        yield f"{UPDATE} / {COPY}", _ratio(figures, UPDATE, COPY), 3, True
    if "updates" in results:
        for release, hunks in results["updates"]["figures"]["team"].items():
            if release in CONFLICTING_FILES:
                name = f"conflicting files, update of a team's project from {release}"
                yield name, len(hunks), CONFLICTING_FILES[release], True
    if "first-answer" in results:
        totals = _totals(results["first-answer"]["figures"])
        mine = totals.pop("this template")
        yield "from an empty folder to the first response, seconds", median(mine), 10, True
        for name, theirs in totals.items():
            ratio = median(one / other for one, other in zip(mine, theirs, strict=True))
            yield f"from an empty folder to the first response / {name}", ratio, 1, True
    if "startup" in results:
        figures = results["startup"]["figures"]["seconds"]
        ratio = _ratio(figures, "alembic upgrade head, nothing to do", f"python -c '{IMPORTS}'")
        yield "`alembic upgrade head`, nothing to do / its imports", ratio, 1.3, True
    if "suite" in results:
        for name, found in results["suite"]["figures"].items():
            yield (
                f"tests of a rendered project, {name}, seconds",
                median(found["seconds"]),
                10,
                True,
            )
    if "template-suite" in results:
        minutes = results["template-suite"]["figures"]["seconds"] / 60
        yield "tests of the template, minutes", minutes, 15, True


def _ratio(figures: Mapping[str, Sequence[float]], name: str, other: str) -> float:
    return median(one / two for one, two in zip(figures[name], figures[other], strict=True))


def _totals(figures: Mapping[str, Any]) -> dict[str, list[float]]:
    return {name: [sum(one) for one in rounds] for name, rounds in figures["seconds"].items()}


def ratios(found: Mapping[str, Any], name: str, other: str, rate: str = RATE) -> list[float]:
    """Return the throughput of a contender in each round, relative to another's."""
    pairs = zip(found[name], found[other], strict=True)
    return [one[rate] / two[rate] for one, two in pairs]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median with the minimum and the maximum."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def requests(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "## Requests\n\nRequests to the last module, whose table has 100,000 rows."
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
        f"\nThe items of {S3RIUS} were added in its own style; it commits after the response. Other"
        " templates are not on the package index, or have no comparable module."
    )


def _median(rounds: Sequence[Mapping[str, float]], kind: str) -> str:
    return f"{median(one[kind] for one in rounds):.4g}" if kind in rounds[0] else ""


def depth(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "## Deep pages\n\nPages of 50 from a million rows, one connection.\n"
    yield from _table(
        ["", "requests per second"],
        ([name, spread(values, 0)] for name, values in figures.items()),
    )


def authentication(figures: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "## Authentication\n\nReads of one row by one application, without authentication and with"
        f" both kinds of it: {MAIN_SETTING}. Each connection has its own caller: with `oidc`, an"
        " access token signed with RS256; with `users`, a session.\n"
    )
    kinds = list(figures[WITHOUT][0])
    rows = (
        [
            name if name == WITHOUT else f"`{name}`",
            spread(ratios(figures, name, WITHOUT)),
            *(_median(rounds, kind) for kind in kinds),
        ]
        for name, rounds in figures.items()
    )
    yield from _table(["", "throughput, relative", *kinds], rows)


def jobs(figures: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "## Jobs\n\nAll queues have their default settings; a row by a session is an entity of the"
        f" project. {OUR_QUEUE.name.capitalize()} deletes a job in the transaction of its handler,"
        f" which therefore writes by its session. With {figures['with']}."
    )
    for setting, kinds in figures["settings"].items():
        named = (
            "a transaction that writes a row and enqueues a job" if setting == ENQUEUE else setting
        )
        yield f"\n### Jobs per second: {named}\n"
        yield from _job_table(
            kinds, lambda found, name: spread([one[JOB_RATE] for one in found[name]], 0)
        )
        yield f"\n### Throughput relative to {PGQUEUER.name}: {named}\n"
        yield from _job_table(
            kinds, lambda found, name: spread(ratios(found, name, PGQUEUER.name, JOB_RATE))
        )
        if setting != ENQUEUE:
            yield f"\n### Processor time of the workers per job, ms: {named}\n"
            yield from _job_table(kinds, lambda found, name: _median(found[name], CPU))


def _job_table(
    kinds: Mapping[str, Any], cell: Callable[[Mapping[str, Any], str], str]
) -> Iterator[str]:
    names = dict.fromkeys(name for found in kinds.values() for name in found)
    yield from _table(
        ["", *(JOB_LABELS[kind] for kind in kinds)],
        (
            [name, *(cell(found, name) if name in found else "" for found in kinds.values())]
            for name in names
        ),
    )


def seconds(title: str, figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"{title}\n"
    yield from _table(["", "seconds"], ([name, spread(values)] for name, values in figures.items()))


def rendering(figures: Mapping[str, Any]) -> Iterator[str]:
    yield from seconds(
        "## Rendering\n\nComplete processes, without the installation of packages.", figures
    )


def updates(figures: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "## Updates\n\nConflicts of an update to this version. The 17 edits of a team are those of"
        " `tests/support/team.py`.\n"
    )
    yield from _table(
        ["a team's project of", "conflicting files", "conflicts", ""],
        (
            [release, str(len(hunks)), str(sum(hunks.values())), _code(hunks)]
            for release, hunks in figures["team"].items()
        ),
    )
    for release, found in figures["places"].items():
        yield (
            f"\nPlaces in the files of {release} where one inserted line conflicts, of those before"
            " each line and after the last one; without modules, revisions and README.md, which no"
            " update touches, and without moved files:\n"
        )
        rows = (
            [f"`{name}`", f"{conflicting} of {all_places}", f"{conflicting / all_places:.0%}"]
            for name, (conflicting, all_places) in found.items()
        )
        yield from _table(["", "places", "share"], rows)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def first_answer(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "## From an empty folder to the first response\n\nSeconds; packages come from a cache.\n"
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
    yield from seconds("## Startup", figures["seconds"])
    for kind in ("memory of an idle worker, MiB", "imports of app.main, ms"):
        yield ""
        rows = ([name, f"{value:.0f}"] for name, value in figures[kind].items())
        yield from _table(["", kind], rows)
    yield "\nSeconds of `alembic upgrade head` by number of revisions after the first:\n"
    rows = (
        [size, *(spread(values) for values in zip(*times, strict=True))]
        for size, times in figures["revisions"].items()
    )
    yield from _table(["revisions", "empty database", "nothing to do"], rows)


def suite(figures: Mapping[str, Any]) -> Iterator[str]:
    yield "## Tests of a rendered project\n"
    yield from _table(
        ["", "tests", "seconds"],
        ([name, str(one["tests"]), spread(one["seconds"], 1)] for name, one in figures.items()),
    )


def template_suite(figures: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"## Tests of the template\n\n{figures['tests']} tests, {figures['failed']} failed, in"
        f" {figures['seconds'] / 60:.1f} minutes. Seconds by file, of all workers:\n"
    )
    by_file = figures["seconds of each file, of all workers"]
    yield from _table(["", "seconds"], ([name, f"{one:.0f}"] for name, one in by_file.items()))


SECTIONS = {
    "requests": requests,
    "depth": depth,
    "authentication": authentication,
    "jobs": jobs,
    "rendering": rendering,
    "updates": updates,
    "first-answer": first_answer,
    "startup": startup,
    "suite": suite,
    "template-suite": template_suite,
}


def draw(endpoints: Mapping[str, Any], file: Path) -> None:
    """Draw the throughputs as bars, except those of pgbench, which would dwarf the others."""
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
    # Keep text as text, and make the output reproducible.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "results"}):
        figure.savefig(file, metadata={"Date": None})
