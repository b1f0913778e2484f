#!/usr/bin/env python3
"""What torch.mm, and a plain Triton kernel, take for the 16-bit products of a run of gemmsmith-bench-gpu.

Usage: gpu_torch.py RESULTS.json > TORCH.json

Operands rotate, and CUDA graphs leave the host out, as in that run. Exit code 3: no torch, or no GPU that it sees.
"""
import json
import sys

ROUNDS, SAMPLE_MS = 11, 2.0
TYPES = {'bf16': 'bfloat16', 'f16': 'float16'}

try:
    import torch
except ImportError as error:
    print(f'gpu_torch: {error}', file=sys.stderr)
    sys.exit(3)
try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None

if triton:
    CONFIGS = [triton.Config({'BM': bm, 'BN': bn, 'BK': 64}, num_warps=warps, num_stages=stages)
               for bm, bn, warps, stages in ((128, 256, 8, 3), (128, 128, 4, 4), (64, 256, 4, 4), (64, 128, 4, 4),
                                             (64, 64, 4, 5), (16, 128, 4, 5))]

    @triton.autotune(configs=CONFIGS, key=['m', 'n', 'k'])
    @triton.jit
    def product(a, b, d, m, n, k, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
        """D (m, n) = A (m, k) * B (n, k)^T, all dense."""
        rows = tl.program_id(0) * BM + tl.arange(0, BM)
        columns = tl.program_id(1) * BN + tl.arange(0, BN)
        along = tl.arange(0, BK)
        sums = tl.zeros((BM, BN), dtype=tl.float32)
        for start in range(0, k, BK):
            inside = start + along < k
            x = tl.load(a + rows[:, None] * k + (start + along)[None, :],
                        mask=(rows < m)[:, None] & inside[None, :], other=0.0)
            y = tl.load(b + columns[None, :] * k + (start + along)[:, None],
                        mask=(columns < n)[None, :] & inside[:, None], other=0.0)
            sums = tl.dot(x, y, sums)
        tl.store(d + rows[:, None] * n + columns[None, :], sums.to(d.dtype.element_ty),
                 mask=(rows < m)[:, None] & (columns < n)[None, :])


def run_triton(a, b, d):
    m, k = a.shape
    n = b.shape[0]
    product[lambda meta: (triton.cdiv(m, meta['BM']), triton.cdiv(n, meta['BN']))](a, b, d, m, n, k)


def run_torch(a, b, d):
    torch.mm(a, b.t(), out=d)


def microseconds(call, sets, calls):
    """The median over the rounds."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for operands in sets:
            call(*operands)  # compiles, chooses
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for i in range(calls):
                call(*sets[i % len(sets)])
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))

        def sample(times):
            start.record(stream)
            for _ in range(times):
                graph.replay()
            stop.record(stream)
            stop.synchronize()
            return start.elapsed_time(stop) * 1e3 / times / calls

        sample(1)
        times = max(1, min(50, int(SAMPLE_MS * 1e3 / (sample(1) * calls))))
        return sorted(sample(times) for _ in range(ROUNDS))[ROUNDS // 2]


def measure(row):
    name = row['case'].split(' ')[0]
    if name not in TYPES:
        return None
    dtype = getattr(torch, TYPES[name])
    m, n, k = row['m'], row['n'], row['k']
    sets = [(torch.randn(m, k, dtype=dtype, device='cuda'), torch.randn(n, k, dtype=dtype, device='cuda'),
             torch.empty(m, n, dtype=dtype, device='cuda')) for _ in range(row['sets'])]
    calls = (32 + len(sets) - 1) // len(sets) * len(sets)
    result = {'case': row['case'], 'us': {}, 'failed': {}}
    for who, call in [('torch', run_torch)] + ([('Triton', run_triton)] if triton else []):
        try:
            result['us'][who] = microseconds(call, sets, calls)
        except Exception as error:  # pylint: disable=broad-except
            result['failed'][who] = str(error)
    return result


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ('-h', '--help'):
        print(__doc__, file=sys.stderr)
        return 2
    if not torch.cuda.is_available():
        print('gpu_torch: torch sees no GPU', file=sys.stderr)
        return 3
    document = json.load(open(sys.argv[1], encoding='utf-8'))
    rows = [measure(row) for row in (document.get('benchmarks') or document)['rows']]
    json.dump({'torch': torch.__version__, 'triton': triton.__version__ if triton else None,
               'rows': [row for row in rows if row]}, sys.stdout, indent=1)
    return 0


if __name__ == '__main__':
    sys.exit(main())
