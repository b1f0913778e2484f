#!/usr/bin/env python3
"""A Markdown table of what gemmsmith-bench-gpu measured, on the standard output.

Usage: gpu_report.py RESULTS.json [TORCH.json]

RESULTS.json is what gpu_check.sh wrote, or the bench itself; TORCH.json is from tools/gpu_torch.py. Example:
  tools/gpu_report.py results/results.json results/torch.json > bench/results/2026-01-31-h200.md
"""
import json
import sys

from cpu_report import geomean, number, table

LOWEST = 0.93  # The lowest ratio that is asked for; beside kernels that need no block scales a little less.
LOWEST_WITHOUT_SCALES, LOWEST_GROUPED = 1 / 1.1, 0.95


class Row:
    def __init__(self, row, torch):
        self.__dict__.update(row)
        self.us = {r['name']: r['us'] for r in row.get('results', [])}
        self.us |= torch.get(row['case'], {})
        self.spread = {r['name']: (r['most_us'] - r['least_us']) / r['us'] for r in row.get('results', [])}
        self.failed = row.get('failed', {})

    def ratio(self, name='cuBLASLt'):
        """How many times faster ours is."""
        return self.us[name] / self.us['gemmsmith'] if name in self.us and 'gemmsmith' in self.us else None

    def recorded_ratio(self):
        """Beside the recorded peer, which for products with one scale did without block scales."""
        recorded = getattr(self, 'recorded', None)
        ours = self.us.get('gemmsmith')
        return recorded['us'] / ours if recorded and ours else None


def summary(name, ratios, lowest=LOWEST):
    if not ratios:
        return f'- {name}: not measured'
    return f'- {name}: geometric mean {geomean(ratios):.2f} x, lowest {min(ratios):.2f} x, ' \
           f'{sum(r < lowest for r in ratios)} of {len(ratios)} below {lowest:.2f}'


def summaries(rows):
    lines = []
    for name in dict.fromkeys(r.set for r in rows):
        own = [r for r in rows if r.set == name]
        scales = ', which has one scale' if name == 'fp8' else ''
        lines.append(summary(f'{name}, beside cuBLASLt\'s best in the same run{scales}', [x for x in map(Row.ratio, own) if x]))
        if name == 'grouped':
            dense = [r.ratio('gemmsmith, dense') for r in own]
            lines[-1] = summary('grouped, beside one product of as much work', [x for x in dense if x], LOWEST_GROUPED)
        if name == 'bf16':
            asked = [r for r in own if r.m in (64, 128, 512, 4096)]
            lines.append(summary('bf16, m = 64, 128, 512, 4096', [x for x in map(Row.ratio, asked) if x]))
        if name == 'fp8':
            large = [r.recorded_ratio() for r in own if r.m >= 1024]
            small = [r.recorded_ratio() for r in own if r.m <= 512]
            lines.append(summary('fp8, m >= 1024, beside the recorded kernels with block scales', [x for x in large if x]))
            lines.append(summary('fp8, m <= 512, beside the recorded kernels with one scale', [x for x in small if x],
                                 LOWEST_WITHOUT_SCALES))
    return lines


def rows_table(rows):
    peers = list(dict.fromkeys(n for r in rows for n in r.us if n != 'gemmsmith'))
    has_record = any(r.recorded_ratio() for r in rows)
    lines = []
    for r in rows:
        us = r.us.get('gemmsmith')
        cells = [r.case, number(us, '{:.2f}') if us else r.failed.get('gemmsmith', '')[:60],
                 number(us and r.flops / us * 1e-6, '{:.0f}'), number(r.spread.get('gemmsmith'), '{:.0%}')]
        cells += [number(r.us.get(n), '{:.2f}') for n in peers]
        cells += [number(r.ratio(), '{:.2f}')]
        if has_record:
            cells += [number(r.recorded_ratio(), '{:.2f}')]
        lines.append(cells + [str(r.sm_mhz or ''), f'`{r.config[0]}`' if getattr(r, 'config', None) else ''])
    header = ['product m x n x k', 'gemmsmith, us', 'TFLOP/s', 'spread'] + [f'{n}, us' for n in peers] + ['/ cuBLASLt']
    return table(header + (['/ recorded'] if has_record else []) + ['SM MHz', 'config'], lines)


def report(document, torch):
    check = document if 'benchmarks' in document else {}
    bench = document.get('benchmarks') or document
    rows = [Row(r, {t['case']: t['us'] for t in torch.get('rows', [])}) for r in bench['rows']]
    launches = bench['launches']
    text = [f'# GEMM on {bench["gpu"]}', '']
    if check:
        text += [f'{check["date"]}, revision {check["revision"]}. {check["nvidia_smi"]["fields"]}: before '
                 f'{check["nvidia_smi"]["before"]}; after {check["nvidia_smi"]["after"]}.', '']
    text += ['Medians of rounds that time each contestant in turn, by CUDA graphs over operands that rotate through '
             f'four times the L2 cache ({bench["l2_bytes"] >> 20} MiB). '
             + (f'cuBLASLt: {bench["missing"]}.' if bench['missing'] else ''), '']
    if torch:
        text += [f'torch {torch["torch"]}, Triton {torch["triton"]}: by the same method in a process of its own, after the others.', '']
    text += summaries(rows)
    text += [f'- from launch to launch of a tiny kernel: {launches["gemm"]:.2f} us, prepared {launches["prepared"]:.2f} us, '
             f'the driver alone {launches["bare"]:.2f} us: {launches["prepared"] / launches["bare"]:.2f} x and '
             f'{launches["gemm"] / launches["bare"]:.2f} x']
    for name in dict.fromkeys(r.set for r in rows):
        text += ['', f'## {name}', '', rows_table([r for r in rows if r.set == name])]
    return '\n'.join(text) + '\n'


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ('-h', '--help'):
        print(__doc__, file=sys.stderr)
        return 2
    documents = [json.load(open(path, encoding='utf-8')) for path in sys.argv[1:3]]
    sys.stdout.write(report(documents[0], documents[1] if len(documents) > 1 else {}))
    return 0


if __name__ == '__main__':
    sys.exit(main())
