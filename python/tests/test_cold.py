"""Compiling ahead, reasons, tuning, predictions, the cache, user kernels: their rows and how they print."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gemmsmith as gs
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SCALE = 'extern "C" __global__ void Scale(float* x, float by, int n) { int i = threadIdx.x; if (i < n) x[i] *= by; }'


def test_explain_ranks_configs_with_their_terms() -> None:
    found = gs.explain(m=4096, n=7168, k=2048, dtype="bf16", layout="nt", arch="sm_90a")
    assert found.arch == "sm_90a" and found.device == "h200" and "m=4096" in found.problem
    times = found.column("us")
    assert len(found) > 5 and times == sorted(times) and all(row["family"] for row in found)
    assert all(row[f"{row['limiting']}_us"] > 0 for row in found)
    assert found[0] in list(found) and len(found[:3]) == 3
    text, page = str(found), found._repr_html_()
    assert "m=4096" in text and "block_m" in text and "<table>" in page and "&lt;" not in page
    here = gs.explain(gs.Problem(64, 64, 64), device="cpu")
    assert here.device == gs.devices()[0]["name"] and str(here)


def test_tables_are_for_pandas() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    found = gs.explain(m=128, n=256, k=512, dtype="f16", gpu="a100")
    frame = pandas.DataFrame(found)
    assert len(frame) == len(found) and list(frame["us"]) == found.column("us")


SHAPES: list[tuple[Any, int]] = [
    ((8, 16, 32), 1), ((8, 16, 32, "f64"), 1), (gs.Problem(8, 16, 32), 1), ({"m": 8, "n": 16, "k": 32, "name": "x"}, 1),
    ([(8, 16, 32), {"m": 4, "n": 4, "k": 4}], 2), ("llama-3-8b", 6), ([], 0),
]


@pytest.mark.parametrize("shapes, count", SHAPES, ids=str)
def test_shapes_have_many_forms(shapes: Any, count: int) -> None:
    from gemmsmith.ahead import problems

    assert len(problems(shapes)) >= count and (count != 0 or not problems(shapes))
    assert all(isinstance(problem, gs.Problem) for _, problem in problems(shapes))


def test_compiling_ahead_fills_the_cache(nvrtc: None) -> None:
    before = gs.cache.stats().disk_kernels
    made = gs.compile([(100, 64, 64, "f16"), (200, 72, 80, "f16")], arch="sm_80", jobs=2)
    assert len(made) >= 2 and {row["arch"] for row in made} == {"sm_80"} and "sm_80" in str(made)
    stats = gs.cache.stats()
    assert stats.disk_kernels > before and stats["compiles"] > 0 and "disk_kernels" in str(stats)
    assert "<th>compiles</th>" in stats._repr_html_()
    key = made[0]["key"]
    shown = gs.cache.show(key[:12])
    assert shown.key == key and key in gs.cache.list().column("key")
    assert gs.cache.search(shown.kernel) and gs.cache.read(key)[:4] == b"\x7fELF"
    assert gs.cache.verify().checked >= 1 and not gs.cache.verify().broken
    again = gs.compile((100, 64, 64, "f16"), arch="sm_80")
    assert {row["origin"] for row in again} <= {"memory", "disk"}


def test_caches_are_moved_and_pruned(nvrtc: None, tmp_path: Path) -> None:
    gs.compile((40, 64, 64), arch="sm_80")
    bundle, other = tmp_path / "kernels.gsb", str(tmp_path / "cache")
    written = gs.cache.export(bundle, level=1)
    assert gs.cache.load(bundle, directory=other).kernels == written.kernels
    assert len(gs.cache.list(other)) == written.kernels
    would = gs.cache.prune(max_size="1K", dry_run=True, directory=other)
    assert would.removed_kernels == written.kernels == len(gs.cache.list(other))
    assert gs.cache.prune(max_size="1KiB", max_age="30d", directory=other).kept_kernels == 0
    assert gs.cache.clear(other).removed_kernels == 0


def test_bundles_are_made_signed_and_read(nvrtc: None, tmp_path: Path) -> None:
    bundle = tmp_path / "kernels.gsb"
    public = gs.cache.make_signing_key(tmp_path / "mine")
    gs.compile((48, 64, 64), arch="sm_80")  # which does not go into the bundle
    made = gs.compile((40, 64, 64, "f16"), arch="sm_80", bundle=bundle, level=1, key_file=str(tmp_path / "mine.key"))
    inside = gs.cache.read_bundle(bundle, signers=[public])
    assert set(inside.column("key")) == set(made.column("key")) and str(bundle) in str(made)
    assert set(inside.column("signer")) == {public} and "1 kernels" in str(inside)
    with pytest.raises(gs.InvalidArgument, match="sign"):
        gs.cache.read_bundle(bundle, signers=["0" * 64])


def test_what_a_model_needs_is_compiled(nvrtc: None) -> None:
    from gemmsmith import _core

    weights = _core.model_weights("llama-3-8b")
    distinct = _core.distinct_problems(weights, 1, 64, "sm_90a", "")
    assert 0 < len(distinct) and all(1 <= p.m <= 64 for _, p in distinct)


def test_tuning_reports_what_it_timed() -> None:
    seen: list[str] = []
    found = gs.tune((40, 48, 56), device="cpu", budget=0.3, candidates=3, progress=lambda what, *_: seen.append(what))
    assert len(found) == 1 and found[0]["chosen_us"] > 0 and seen
    assert gs.tune((40, 48, 56), device="cpu", dry_run=True)[0]["candidates"]

    def stop(*_: Any) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        gs.tune((41, 48, 56), device="cpu", budget=5, progress=stop)


def test_measured_times_choose(tmp_path: Path) -> None:
    problem = gs.Problem(37, 52, 61)
    first, second = gs.explain(problem, device="cpu").column("config")[:2]
    assert gs.predict_config(problem, "cpu") == first
    gs.record_performance(problem, second, 0.01, "cpu")
    assert gs.predict_config(problem, "cpu") == second and "measured" in str(gs.explain(problem, device="cpu"))
    for bad, kind in (("x86 mr=1", gs.NotFound), ("", gs.NotFound)):
        with pytest.raises(kind, match="37"):
            gs.record_performance(problem, bad, 1.0, "cpu")
    with pytest.raises(gs.InvalidArgument):
        gs.record_performance(problem, second, -1.0, "cpu")
    g = gs.Gemm(20, 28)
    g.prepare(m=[3], auto_tune=True)
    assert "tuned" in gs.explain(m=3, n=20, k=28, device="cpu").measured
    with gs.profile():  # saved by then
        pass
    found = next(row for row in gs.results.list() if row["tunings"] > 0)
    times = gs.results.timings(found["fingerprint"][:8])
    assert any(row["problem"].startswith("m=37") and row["times_us"] == [0.01] for row in times)
    document, other = tmp_path / "results.json", str(tmp_path / "other")
    gs.results.export(found["fingerprint"], document)
    assert gs.results.load(document, other).tunings == len(times) == len(gs.results.timings("", other))
    assert gs.results.load(document, other).tunings == 0
    assert gs.results.prune(max_entries=1, dry_run=True, directory=other).tunings == len(times) - 1
    assert gs.results.prune(max_entries=1, directory=other).tunings == len(times) - 1
    assert gs.results.prune(max_age="90d", directory=other).tunings == 0 == len(gs.results.show("", other))
    with pytest.raises(gs.NotFound, match="fade"):
        gs.results.show("fade", other)


def test_code_is_shown(nvrtc: None) -> None:
    here = gs.show_code(m=64, n=64, k=64, device="cpu", epilogue="relu")
    assert here.startswith("; ") and "ret" in here
    there = {"m": 64, "n": 64, "k": 64, "dtype": "f16", "epilogue": gs.Epilogue(lambda x: x.exp()), "arch": "sm_90a"}
    assert "expf(" in gs.show_code(**there) and ".target sm_90a" in gs.show_code(**there, part="ptx")
    assert gs.show_code(**there, part="cubin")[:4] == b"\x7fELF"
    with pytest.raises(gs.NotFound, match="listing"):
        gs.show_code(**there, part="listing")


def test_stages_are_profiled(tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    with gs.profile(trace) as stages:
        for _ in range(3):
            gs.gemm(np.ones((23, 19), "f4"), np.ones((19, 17), "f4"))
    totals = {row["stage"]: row["count"] for row in stages if not row["kernel"]}
    assert totals["launch"] == 3 and totals["plan"] == 1 and "launch" in str(stages)
    assert len(json.loads(trace.read_text())["traceEvents"]) >= 4
    with gs.profile() as outer:
        with gs.profile() as inner:
            gs.gemm(np.ones((23, 19), "f4"), np.ones((19, 17), "f4"))
    assert [row["count"] for row in inner if row["stage"] == "launch"][:1] == [1] and len(outer) >= len(inner)
    with gs.profile() as nothing:
        pass
    assert len(nothing) == 0


def test_chips_are_evaluated() -> None:
    path = ROOT / "examples/chips/sg2262.json"
    shapes = [(4096, 7168, 2048, "bf16"), {"m": 1, "n": 4096, "k": 4096, "dtype": "bf16", "name": "one row"}]
    found = gs.evaluate(path, shapes)
    assert [row["m"] for row in found] == [4096, 1] and found[1]["name"] == "one row"
    same = gs.evaluate(json.loads(path.read_text()), shapes, effort="fast", threads=1)
    assert same[0]["latency_us"] >= found[0]["latency_us"] > 0
    assert gs.evaluate(path, shapes, precise=False)[0]["latency_us"] <= found[0]["latency_us"]


def test_devices_and_doctor_say_what_there_is() -> None:
    assert gs.devices()[0]["device"] == "cpu" and "cpu" in str(gs.devices())
    assert {"gemmsmith", "CPU", "NVRTC"} <= set(gs.doctor().column("item"))
    assert gs.builtin_shapes() and set(gs.__all__) <= {*dir(gs)}


def test_a_users_kernel_is_compiled_and_kept(nvrtc: None) -> None:
    kernel = gs.jit(SCALE, "Scale", arch="sm_90a")
    assert "Scale" in kernel.ptx and kernel.cubin[:4] == b"\x7fELF" and "sm_90a" in repr(kernel)
    with pytest.raises(gs.Unsupported, match="no device"):
        kernel(1, 32, [])
    compiles = gs.cache.stats().compiles
    assert gs.jit(SCALE, "Scale", arch="sm_90a").cubin == kernel.cubin and gs.cache.stats().compiles == compiles
    with_header = gs.jit('#include "by.h"\ntemplate <class T> __global__ void F(T* x) { *x = BY; }', "F<float>",
                         arch="sm_80", headers={"by.h": "#define BY 3"})
    assert with_header.arch == "sm_80"


def test_settings_hold_from_then_on(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", f"""
import gemmsmith as gs
gs.configure(cache_dir={str(tmp_path)!r}, enable_disk=True, max_cached_kernels=10, opt_level=2)
assert gs.cache.stats().directory == {str(tmp_path)!r}
gs.configure(block_m=64, enable_tma_multicast=False, check_groups=True)
rows = gs.explain(m=512, n=512, k=512, dtype="bf16", layout="nt", arch="sm_90a")
assert {{(row["block_m"], row.get("cluster_m", 1), row.get("cluster_n", 1)) for row in rows}} == {{(64, 1, 1)}}
gs.configure(enable_jit=False, verify="first_use", block_m=0)
assert gs.cache.stats().directory == {str(tmp_path)!r}
import numpy as np
assert (gs.gemm(np.ones((3, 4), 'f4'), np.ones((4, 5), 'f4')) == 4).all()
assert "portable" in str(gs.kernels()) or not len(gs.kernels())
"""], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_command_line_is_in_the_package() -> None:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "gemmsmith", *arguments], capture_output=True, text=True)

    assert command("--version").stdout.strip() == gs.__version__
    done = command("run", "--m", "16", "--n", "16", "--k", "16", "--device", "cpu", "--check", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["n"] == 16
    assert command("frobnicate").returncode == 2
