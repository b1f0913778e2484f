"""What needs no arrays: compiling ahead of time, reasons, tuning, predictions, and what this machine has."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Union

from . import _core
from ._core import Problem
from .errors import InvalidArgument
from .tables import Table

#: A Problem, its arguments as a dict or a tuple, the name of a built-in list, a shapes file, or several of these.
Shapes = Union[Problem, Mapping[str, Any], tuple[Any, ...], str, "os.PathLike[str]", Iterable[Any]]


def problems(shapes: Shapes) -> list[tuple[str, Problem]]:
    """Names and problems of all that `shapes` mean; "" for one without a name."""
    if isinstance(shapes, Problem):
        return [("", shapes)]
    if isinstance(shapes, (str, os.PathLike)):
        return _core.read_shapes(os.fspath(shapes))
    if isinstance(shapes, Mapping):
        arguments = dict(shapes)
        name = arguments.pop("name", "")
        return [(name, Problem(**arguments))]
    if isinstance(shapes, tuple) and len(shapes) >= 3 and all(isinstance(extent, int) for extent in shapes[:3]):
        return [("", Problem(*shapes))]
    if isinstance(shapes, Iterable):
        return [one for each in shapes for one in problems(each)]
    raise InvalidArgument(f"shapes is a {type(shapes).__name__}", "give a Problem, a dict, (m, n, k) or a list of these")


def compile(
    shapes: Shapes = (),
    arch: str | Iterable[str] = "",
    *,
    gpu: str = "",
    jobs: int = 1,
    model: str = "",
    rows: tuple[int, int] = (1, 8192),
    dtype: Any = None,
    bundle: str | os.PathLike[str] = "",
    level: int = 19,
    key_file: str = "",
) -> Table:
    """Compiles kernels into the cache, ahead of time; no GPU is needed.

    shapes  what to compile for: see Shapes.
    arch    "sm_90a", "x86-64-avx512", or several; default: that of `gpu`.
    gpu     a GPU to choose kernels for ("h200"); default: the one that stands for arch.
    jobs    compiles at a time. Ctrl-C ends them.
    model   a built-in list's name or a config.json: all kernels that its weights need for any m of `rows`, of `dtype`,
            and where arch has kernels for groups, those of its experts together (grouped_gemm).
    bundle  a file to write these kernels into, for configure(bundles=...) elsewhere; level, key_file as in cache.export.

    One row for each kernel of each problem. Raises CompileError, NotFound where there is no compiler, InvalidArgument.
    """
    archs = [arch] if isinstance(arch, str) else list(arch)
    if not any(archs) and not gpu:
        raise InvalidArgument("compile: neither arch nor gpu is given", "give arch=\"sm_90a\" or gpu=\"h200\"")
    named = problems(shapes)
    weights: list[tuple[str, Problem]] = []
    experts: list[tuple[str, Problem]] = []
    if model:
        weights, experts = _core.model_weights(model), _core.model_experts(model, dtype)
        if dtype is not None:
            weights = [(name, Problem(p.m, p.n, p.k, dtype, p.layout)) for name, p in weights]
    work: list[tuple[str, list[tuple[str, Problem]]]] = []
    for one in archs:
        # Not every architecture has kernels for groups.
        served = [expert for expert in experts if _core.explain(expert[1], "", one, gpu, [])["rows"]]
        distinct = _core.distinct_problems(weights + served, rows[0], rows[1], one, gpu) if model else []
        work.append((one, named + distinct))
    path = os.fspath(bundle)
    made, written = _core.compile_ahead(work, gpu, jobs, path, level, key_file)
    count = sum(len(wanted) for _, wanted in work)
    kernels = len({row["key"] for row in made})
    return Table(
        made,
        f"{kernels} kernels for {count} problems",
        ("name", "problem", "arch", "origin", "compile_ms", "registers", "spill_bytes", "shared_bytes", "config"),
        [f"wrote {path}: {written['kernels']} kernels, {written['stored_bytes']} bytes"] if path else (),
    )


class Explanation(Table):
    """Configs, best first, with their predicted times in microseconds and each term of them.

    problem, device, arch   what was asked.
    refused                 kernel families that cannot do it, and why.
    measured, calibration   why measurements chose the first, and what they changed in the model; "" for nothing.
    wrong                   configs that were found wrong.
    """

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.problem: str = found["problem"]
        self.device: str = found["device"]
        self.arch: str = found["arch"]
        self.refused: list[str] = found["refused"]
        self.measured: str = found["measured"]
        self.calibration: str = found["calibration"]
        self.wrong: list[str] = found["wrong"]
        notes = [f"not possible: {reason}" for reason in self.refused]
        notes += [f"found wrong: {reason}" for reason in self.wrong]
        notes += [f"the first is chosen by measurements: {self.measured}"] if self.measured else []
        notes += [f"the model is calibrated: {self.calibration}"] if self.calibration else []
        columns = dict.fromkeys(name for row in found["rows"] for name in row)
        hidden = ["config"] + (["timings", "measured_us"] if not any(row["timings"] for row in found["rows"]) else [])
        super().__init__(
            found["rows"],
            f"{self.problem} on {self.device} ({self.arch})",
            [name for name in columns if name not in hidden],
            notes,
        )


def explain(
    problem: Problem | None = None,
    *,
    device: str = "",
    arch: str = "",
    gpu: str = "",
    groups: int | Iterable[int] = (),
    **arguments: Any,
) -> Explanation:
    """Which kernel would be chosen for a problem, and why: for a device here, or for an arch or gpu that need not be.

    explain(m=4096, n=7168, k=2048, dtype="bf16", arch="sm_90a") makes the Problem itself. `groups`: an int is the
    Problem's; several are the rows of groups that share one launch, in place of m.
    """
    rows: list[int] = []
    if isinstance(groups, int):
        arguments["groups"] = groups
    else:
        rows = list(groups)
    return Explanation(_core.explain(problem or Problem(**arguments), device, arch, gpu, rows))


def show_code(
    problem: Problem | None = None,
    *,
    device: str = "",
    arch: str = "",
    gpu: str = "",
    part: str = "",
    **arguments: Any,
) -> Any:
    """The kernel that would be chosen, as text: CUDA C++, or for a CPU the listing of its machine code.

    `part`: "source", "ptx", "cubin" (bytes), "listing". The rest is as for explain. Raises NotFound for what it has not.
    """
    return _core.show_code(problem or Problem(**arguments), device, arch, gpu, part)


def predict_config(problem: Problem, device: str = "") -> str:
    """The config that a plan made now would have: as tuned, else the fastest of those timed, else the model's."""
    return _core.predict_config(problem, device)


def record_performance(problem: Problem, config: str, us: float, device: str = "") -> None:
    """Records what a call with this config took, in microseconds: measurements go before the cost model.

    config  as predict_config and the column "config" of explain have it. Raises NotFound for another.
    """
    _core.record_performance(problem, config, us, device)


class profile(Table):
    """Times of each stage between a call and its launch, and of each kernel in it, of what runs in a `with` block.

    with profile() as stages: ...    has them when the block ends: select, render, lookup, compile, load, launch.
    profile(trace="trace.json") also writes every span, for trace viewers.
    """

    def __init__(self, trace: str | os.PathLike[str] = "") -> None:
        super().__init__([])
        self._trace = os.fspath(trace)

    def __enter__(self) -> profile:
        self._before = _core.profiling()
        if not self._before:  # else GEMMSMITH_TRACE, or a block around this one, wants all spans
            _core.clear_profile()
        _core.set_profiling(True)
        return self

    def __exit__(self, *_: object) -> None:
        _core.set_profiling(self._before)
        super().__init__(_core.stage_times(), "", ("stage", "kernel", "count", "total_ms", "max_ms"))
        if self._trace:
            _core.write_trace(self._trace)


def tune(
    shapes: Shapes,
    *,
    device: str = "",
    budget: float = 30.0,
    candidates: int = 8,
    m_range: tuple[int, int] | None = None,
    dry_run: bool = False,
    progress: Callable[[str, int, int], object] | None = None,
) -> Table:
    """Measures the candidates for problems and remembers, for every process, which was the fastest.

    budget      seconds for all problems together.
    candidates  of the cost model, beside the one that would be chosen now.
    m_range     for all m from the one to the other, in ranges.
    dry_run     says what would be timed, and does nothing.
    progress    called with what is done, how many ranges are done, and of how many.

    One row for each problem, or range. Ctrl-C ends it; what was measured is kept.
    """
    named = problems(shapes)
    first, last = m_range or (0, 0)
    rows: list[dict[str, Any]] = []
    for name, problem in named:
        share = budget / len(named)
        for row in _core.tune(problem, device, share, candidates, first, last, dry_run, progress):
            rows.append({"name": name, **row})
    shown = ("name", "problem", "m_from", "m_to", "before_us", "chosen_us", "timings", "complete", "chosen")
    return Table(rows, f"{len(rows)} tuned" if not dry_run else "not timed: a dry run", shown)


def evaluate(
    chip: str | os.PathLike[str] | Mapping[str, Any],
    shapes: Shapes,
    *,
    tile_search: bool = True,
    partition_search: bool = True,
    effort: str = "exact",
    precise: bool = True,
    threads: int = 0,
) -> Table:
    """Predicts products on an accelerator that a JSON file, or a dict of the same names, describes (docs/evaluate.md).

    effort "exact", "balanced" or "fast"; precise=False is the roofline. threads 0: one per core.
    """
    if isinstance(chip, Mapping):
        evaluator = _core.Evaluator(json.dumps(dict(chip)), True)
    else:
        evaluator = _core.Evaluator(os.fspath(chip))
    named = problems(shapes)
    found = evaluator.evaluate([p for _, p in named], tile_search, partition_search, effort, precise, threads)
    rows = [{"name": name, **row} for (name, _), row in zip(named, found)]
    shown = ("name", "m", "n", "k", "latency_us", "compute_us", "memory_us", "utilization", "tile", "loop_order",
             "partition")
    return Table(rows, "", shown)


def devices() -> Table:
    """The devices of this machine, the CPU first."""
    status = _core.cuda_status()
    return Table(
        _core.devices(),
        shown=("device", "name", "arch", "multiprocessors", "clock_ghz", "f32_gflops", "memory_gbps"),
        notes=[f"no CUDA device: {status}"] if status else [],
    )


def doctor() -> Table:
    """What gemmsmith uses and found: toolkit, driver, compilers, CPU features, devices, cache directory."""
    return Table(_core.doctor(), shown=("item", "status", "version", "path", "remedy"))


def kernels() -> Table:
    """Every kernel that this process made or found, oldest first."""
    shown = ("kernel", "arch", "origin", "compile_ms", "registers", "spill_bytes", "config")
    return Table(_core.kernels(), shown=shown)


def epilogue_names() -> Table:
    """What Epilogue knows by name, with its formula for x, the value so far."""
    return Table(_core.epilogue_names())
