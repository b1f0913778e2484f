"""Products in groups against NumPy's in float64: every way to say what is whose, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gemmsmith as gs
import numpy as np
import pytest
from arrays import BF16, F16, F32, F64, S8, S32, check, check_refused, poisoned, random, wide

K, N = 48, 40
FORMS = ("index", "ends", "counts", "along k")
DTYPES = [F32, F64, F16, S8] + ([BF16] if BF16 is not None else [])
ACCUMULATORS = {F64: F64, S8: S32}


class Case:
    """Operands of one form, with groups of random sizes; `parts` says which part of out is whose."""

    def __init__(self, rng: np.random.Generator, form: str, dtype: Any, transposed: bool = False) -> None:
        self.form, self.dtype = form, dtype
        sizes = [int(rng.integers(1, 90)), 0, int(rng.integers(1, 90))]
        groups = len(sizes)
        ends = np.cumsum(sizes).astype(S32)
        self.starts = [0, *ends[:-1]]
        if form == "index":
            self.starts, m = [128 * group for group in range(groups)], 128 * groups + 5
            index = np.full(m, -1, S32)
            for group, (start, size) in enumerate(zip(self.starts, sizes)):
                index[start : start + size] = group
            self.say: dict[str, Any] = {"index": index}
        elif form == "counts":
            m = 90
            self.say = {"counts": np.array(sizes, S32), "expected_m": 30}
        else:
            m = int(ends[-1]) + 3 if form == "ends" else 17
            self.say = {"ends": ends}
        self.sizes = sizes
        self.k = int(ends[-1]) + 2 if form == "along k" else K
        self.a = random(rng, (groups, m, K) if form == "counts" else (m, self.k), dtype)
        stack = () if form == "along k" else (groups,)
        stored = random(rng, (*stack, N, self.k) if transposed else (*stack, self.k, N), dtype)
        self.b = np.swapaxes(stored, -1, -2) if transposed else stored
        self.shape = (m, N) if form in ("index", "ends") else (groups, m, N)

    def parts(self) -> Iterator[tuple[Any, Any, Any]]:
        """Of each group a and b, and where its product lies in out."""
        for group, (start, size) in enumerate(zip(self.starts, self.sizes)):
            rows = slice(start, start + size)
            if self.form == "along k":
                yield self.a[:, rows], self.b[rows], (group,)
            elif self.form == "counts":
                yield self.a[group, :size], self.b[group], (group, slice(0, size))
            else:
                yield self.a[rows], self.b[group], (rows,)

    def own(self) -> Any:
        """Which rows of out are somebody's."""
        own = np.zeros(self.shape[:-1], bool)
        for _, _, to in self.parts():
            own[to] = True
        return own

    def check(self, result: Any, change: Callable[[Any], Any] = lambda x: x, added: float = 0.0) -> None:
        """`change` of the product is wanted, to the bound of twice its sums and of `added`."""
        total, magnitude, own = np.zeros(self.shape), np.zeros(self.shape), self.own()
        for x, y, to in self.parts():
            total[to], magnitude[to] = wide(x) @ wide(y), abs(wide(x)) @ abs(wide(y))
        bound = 2 * magnitude + added if added else magnitude
        check(result[own], change(total)[own], bound[own], self.k, ACCUMULATORS.get(self.dtype, F32))


@pytest.mark.parametrize("transposed", [False, True], ids=["nn", "nt"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_a_product_of_groups_is_that_of_each(rng: Any, form: str, dtype: Any, transposed: bool) -> None:
    case = Case(rng, form, dtype, transposed)
    own = case.own()
    made = gs.grouped_gemm(case.a, case.b, **case.say)
    assert made.dtype == (S32 if dtype == S8 else dtype) and made.shape == case.shape
    case.check(made)
    assert not made[~own].any(), "rows of no group in a new array are 0"
    whole = poisoned((*case.shape[:-1], N + 7), made.dtype)
    before = whole.copy()
    out = whole[..., 3 : N + 3]
    assert gs.grouped_gemm(case.a, case.b, out, **case.say) is out
    assert np.array_equal(out[own], made[own])
    out[own] = before[..., 3 : N + 3][own]
    assert np.array_equal(whole, before, equal_nan=dtype != S8), "rows of no group stay as they are"


@pytest.mark.parametrize("form", FORMS)
def test_what_else_a_call_takes(rng: Any, form: str) -> None:
    case = Case(rng, form, F32)
    c, bias = random(rng, case.shape, F32), random(rng, (N,), F32)
    a, b, say = case.a, case.b, case.say
    case.check(gs.grouped_gemm(a, b, c=c, alpha=2, beta=-0.5, **say), lambda x: 2 * x - 0.5 * c, 2)
    case.check(gs.grouped_gemm(a, b, c.copy(), beta=1.0, **say), lambda x: x + c, 2)
    case.check(gs.grouped_gemm(a, b, bias=bias, **say), lambda x: x + bias, 2)
    case.check(gs.grouped_gemm(a, b, residual=c, epilogue="residual+relu", **say),
               lambda x: np.maximum(x + c, 0), 2)
    made = gs.grouped_gemm(a, b, dtype="f16", compute="ieee", overlap=True, **say)
    assert made.dtype == F16
    case.check(made)
    paired = gs.grouped_gemm(a, b, epilogue="swiglu", **say)
    assert paired.shape == (*case.shape[:-1], N // 2)
    for x, y, to in case.parts():
        np.testing.assert_allclose(paired[to], gs.gemm(x, y, epilogue="swiglu"), rtol=1e-5, atol=1e-6)


def test_groups_of_torchs_tensors(rng: Any) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    case = Case(rng, "ends", F32)
    made = gs.grouped_gemm(torch.from_numpy(case.a), case.b, ends=torch.from_numpy(case.say["ends"]))
    assert isinstance(made, torch.Tensor)
    case.check(made.numpy())


def call(a: Any = (4, 6), b: Any = (3, 6, 5), out: Any = None, **given: Any) -> Any:
    arrays = [np.ones(x, F32) if isinstance(x, tuple) else x for x in (a, b)]
    groups = {name: np.array(x, S32) if isinstance(x, list) else x for name, x in given.items()}
    return gs.grouped_gemm(*arrays, out, **groups)


V, T, N_ = ValueError, TypeError, NotImplementedError
BAD: dict[str, tuple[type[Exception], list[str], Callable[[], Any]]] = {
    "nobody's rows": (V, ["0 of index, ends and counts"], lambda: call()),
    "said twice": (V, ["2 of index, ends and counts"], lambda: call(index=[0] * 4, ends=[1, 2, 3])),
    "another rank of b": (V, ["(6, 5) f32", "index wants a (m, k)"], lambda: call(b=(6, 5), index=[0] * 4)),
    "another rank of a": (V, ["(4, 6) f32", "counts wants a (groups, m, k)"], lambda: call(counts=[1, 2, 3])),
    "a stack along k": (V, ["(3, 4, 6) f32", "along k"], lambda: call(a=(3, 4, 6), b=(6, 5), ends=[1, 2, 3])),
    "inner sizes": (V, ["(4, 7)", "7 columns by 6 rows"], lambda: call(a=(4, 7), index=[0] * 4)),
    "other groups of a": (V, ["(2, 4, 6)", "2 groups by 3"], lambda: call(a=(2, 4, 6), counts=[1, 2, 3])),
    "a short index": (V, ["index is (3,) s32", "each row of a"], lambda: call(index=[0] * 3)),
    "too many ends": (V, ["ends is (4,) s32", "each group"], lambda: call(ends=[1, 2, 3, 4])),
    "an index of two dimensions": (V, ["each row of a"], lambda: call(index=np.zeros((4, 1), S32))),
    "an index of floats": (T, ["index is (4,) f32", "32 bits"], lambda: call(index=np.zeros(4, F32))),
    "an index of 64 bits": (T, ["index", "8 bytes"], lambda: call(index=np.zeros(4, "i8"))),
    "no array at all": (T, ["a is a NoneType", "no array"], lambda: call(a=None, index=[0] * 4)),
    "an index that is no array": (T, ["index is a int"], lambda: call(index=3)),
    "an index with gaps": (V, ["side by side"], lambda: call(index=np.zeros(8, S32)[::2])),
    "a group that there is not": (V, ["row 2 is 3", "3 groups"], lambda: call(index=[0, 0, 3, 0])),
    "ends that fall": (V, ["group 1 is 1"], lambda: call(ends=[2, 1, 4])),
    "ends beyond the rows": (V, ["group 2 is 5", "m=4"], lambda: call(ends=[2, 3, 5])),
    "counts beyond the room": (V, ["group 0 is 5"], lambda: call(a=(3, 4, 6), counts=[5, 0, 0])),
    "another shape of out": (V, ["(4, 4) f32", "(4, 5)"], lambda: call(out=np.ones((4, 4), F32), index=[0] * 4)),
    "another shape of c": (V, ["c is (5,) f32"], lambda: call(c=np.ones(5, F32), index=[0] * 4)),
    "another shape of residual": (V, ["residual is (4, 4)"],
                                  lambda: call(residual=np.ones((4, 4), F32), epilogue="residual", index=[0] * 4)),
    "f32 by f64": (T, ["f32", "f64"], lambda: call(b=np.ones((3, 6, 5)), index=[0] * 4)),
    "an expected_m beyond m": (V, ["expected_m=9"], lambda: call(expected_m=9, index=[0] * 4)),
    "maxima": (N_, ["maxima"], lambda: call(epilogue="amax_row", amax_row=np.ones(4, F32), index=[0] * 4)),
    "beta of nothing": (V, ["neither c nor out"], lambda: call(beta=1.0, index=[0] * 4)),
    "one scale of two": (V, ["scale_a"], lambda: call(scale_a=np.ones((4, 1), F32), index=[0] * 4)),
    "a bias that is not read": (V, ["bias is given"], lambda: call(epilogue="relu", bias=np.ones(5, F32), index=[0] * 4)),
    "an overlap that is none": (T, [""], lambda: call(overlap="yes", index=[0] * 4)),
    "groups of nothing": (V, ["without a grouping"], lambda: gs.Problem(4, 5, 6, groups=2)),
    "an unknown grouping": (V, ["masked:2", "along_k"], lambda: gs.Problem(4, 5, 6, grouping="masked:2")),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_right_is_refused(case: str) -> None:
    check_refused(*BAD[case])


def test_a_refused_call_leaves_out_alone() -> None:
    out = poisoned((4, 5), F32)
    for index in ([0, 1, 2, 3], [0, 0, 0, -2]):
        with pytest.raises(gs.InvalidArgument):
            call(out=out, index=index)
    assert np.isnan(out).all()


def test_problems_of_groups_are_explained_and_compiled(nvrtc: None) -> None:
    problem = gs.Problem(64, 256, 512, "bf16", "nt", grouping="masked", groups=8, expected_m=20)
    assert (problem.grouping, problem.groups, problem.expected_m) == ("masked", 8, 20)
    assert problem == gs.Problem(64, 256, 512, "bf16", "nt", grouping="masked", groups=8, expected_m=20)
    assert "masked:8:20" in repr(problem)
    found = gs.explain(m=64, n=256, k=512, dtype="bf16", layout="nt", grouping="masked", groups=8, arch="sm_90a")
    assert found[0]["family"] == "sm90" and "masked:8" in found.problem
    assert {row["arch"] for row in gs.compile(problem, arch="sm_90a")} == {"sm_90a"}


def test_experts_are_among_what_a_model_needs(monkeypatch: Any) -> None:
    from gemmsmith import _core, ahead

    asked: dict[str, set[str]] = {}

    class Recorded:
        """Compiles nothing."""

        def __getattr__(self, name: str) -> Any:
            return getattr(_core, name)

        def compile_ahead(self, work: Any, *_: Any) -> Any:
            asked.update({arch: {problem.grouping for _, problem in named} for arch, named in work})
            return [], {}

    monkeypatch.setattr(ahead, "_core", Recorded())
    gs.compile(model="deepseek-v3", arch=["sm_80", "sm_90a"], rows=(1, 2))
    assert asked == {"sm_80": {"none"}, "sm_90a": {"none", "contiguous", "masked"}}, "sm_80 has no kernels for groups"
    experts = _core.model_experts("deepseek-v3", "bf16,bf16,f32")
    assert {(p.grouping, p.groups) for _, p in experts} == {("contiguous", 8), ("masked", 32)}
    assert not _core.model_experts("llama-3-8b")


def test_how_many_sms_are_filled_can_be_set() -> None:
    name = "emulator:sm_90a"
    every = gs.get_num_sms(name)
    gs.set_num_sms(every - 20, name)
    assert gs.get_num_sms(name) == every - 20
    gs.set_num_sms(every, device=name)
    for count, device, kind in ((0, name, V), (every + 1, name, V), (1, "cpu", N_), (1, "abacus", V)):
        with pytest.raises(kind):
            gs.set_num_sms(count, device)
    assert gs.get_num_sms(name) == every
