#!/usr/bin/env python3
"""Tables and plots of what gemmsmith-bench-cpu measured: PREFIX-<set>.md and PREFIX-<set>.svg for each set. Those of a
run with --quick or --filter go to build/partial instead.

Usage: cpu_report.py PREFIX RESULTS.json...
"""
import html
import json
import math
import pathlib
import sys

NOISE = 0.97  # A ratio from here on counts as reached.
TITLES = {
    'f32': 'f32 GEMM on the CPU device', 'f64': 'f64 GEMM on the CPU device',
    'bf16': 'bf16 GEMM on the CPU device', 'int8': 'u8 x s8 -> s32 GEMM on the CPU device',
    'epilogue': 'Epilogues on the CPU device', 'config': 'The chosen config beside the best there is',
}


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


class Row:
    """One product on one number of threads, and the seconds that each contestant took."""

    def __init__(self, row):
        self.__dict__.update(row)
        self.seconds = {r['name']: r['seconds'] for r in self.results if 'seconds' in r and r['role'] != 'limit'}
        self.roles = {r['name']: r['role'] for r in self.results}
        self.limits = {r['name']: r['work'] / r['seconds'] for r in self.results if r['role'] == 'limit'}
        self.reasons = {r['name']: r['why'] for r in self.results if 'why' in r}
        self.shape = f'{self.m}x{self.n}x{self.k}'
        self.types_text = self.types[0] if len(set(self.types)) == 1 else f'{self.types[0]}->{self.types[2]}'

    def label(self, with_types):
        return ' '.join(([self.types_text] if with_types else []) + [self.layout, self.shape])

    def reason(self, name):
        """Why there is no time, in a word or two: "not supported", "wrong"."""
        return self.reasons.get(name, '').split(':')[0]

    def gflops(self, name):
        return self.flops / self.seconds[name] / 1e9

    def best_peer(self, fits=lambda name: True):
        return min((s for n, s in self.seconds.items() if self.roles[n] == 'peer' and fits(n)), default=None)

    def ratio(self, name='gemmsmith', fits=lambda name: True):
        best = self.best_peer(fits)
        return best / self.seconds[name] if best and name in self.seconds else None

    def of_limit(self, name='gemmsmith'):
        """The limit that ours is nearest to, as a share of it."""
        if name not in self.seconds:
            return ''
        shares = []
        if 'peak' in self.limits:
            shares.append((self.flops / self.seconds[name] / self.limits['peak'], 'of peak'))
        if 'read' in self.limits:
            shares.append((self.b_bytes / self.seconds[name] / self.limits['read'], 'of read'))
        return '{:.0f} % {}'.format(100 * max(shares)[0], max(shares)[1]) if shares else ''


def table(header, lines):
    rows = ['| ' + ' | '.join(header) + ' |', '|' + '---|' * len(header)]
    return '\n'.join(rows + ['| ' + ' | '.join(line) + ' |' for line in lines])


def number(value, form='{:.1f}'):
    return '' if value is None else form.format(value)


def threads_text(threads):
    return f'{threads} thread' + ('s' if threads > 1 else '')


def parts(rows):
    """The rows by threads and form of B, in the order in which they come."""
    keys = dict.fromkeys((r.threads, r.packed) for r in rows)
    return {f'{threads_text(t)}, B {"packed" if p else "as it comes"}':
            [r for r in rows if (r.threads, r.packed) == (t, p)] for t, p in keys}


def summary(ratios):
    if not ratios:
        return 'not measured: ours does not run'
    good = sum(r >= NOISE for r in ratios)
    return f'geometric mean {geomean(ratios):.2f} x the best peer of each, lowest {min(ratios):.2f} x, ' \
           f'at least {NOISE} x in {good} of {len(ratios)}'


def limits_text(rows):
    lines = []
    for threads in dict.fromkeys(r.threads for r in rows):
        own = [r for r in rows if r.threads == threads]
        peak = sorted(r.limits['peak'] for r in own if 'peak' in r.limits)
        read = sorted(r.limits['read'] for r in own if 'read' in r.limits)
        texts = []
        if peak:
            texts.append(f'peak {peak[len(peak) // 2] / 1e9:.0f} GFLOP/s')
        if read:
            texts.append(f'read {read[len(read) // 2] / 1e9:.1f} GB/s')
        if texts:
            lines.append(f'{threads_text(threads)}: {", ".join(texts)} (medians over the rows)')
    return lines


def reasons_text(rows):
    reasons = {}
    for r in rows:
        for name, why in r.reasons.items():
            reasons.setdefault((name, why.split(': ')[0]), []).append((r, why))
    return [f'{name}, {kind}, {len(found)} rows, such as {found[0][0].case}: {found[0][1]}'
            for (name, kind), found in reasons.items()]


def gemm_page(rows):
    with_types = len({r.types_text for r in rows}) > 1
    text = [f'- {name}: {summary([x for x in map(Row.ratio, own) if x])}' for name, own in parts(rows).items()]
    for name, own in parts(rows).items():
        peers = list(dict.fromkeys(n for r in own for n in r.seconds if r.roles[n] == 'peer'))
        lines = []
        for r in own:
            cells = [number(r.gflops(n)) if n in r.seconds else r.reason(n) for n in ['gemmsmith'] + peers]
            lines.append([r.label(with_types)] + cells + [number(r.ratio(), '{:.2f}'), r.of_limit()])
        header = ['layout, m x n x k', 'gemmsmith'] + peers + ['/ best peer', 'of the machine']
        text += ['', f'## {name}, GFLOP/s', '', table(header, lines)]
    panels = [(name, [(r.label(with_types), r.ratio()) for r in own]) for name, own in parts(rows).items()]
    return text, ('ours / best peer', panels)


def epilogue_page(rows):
    fused, passes, bare = 'gemmsmith', 'gemmsmith, in two passes', 'gemmsmith, product alone'

    def gain(r):
        return r.seconds[passes] / r.seconds[fused] if fused in r.seconds and passes in r.seconds else None

    def is_fused(name):
        return 'passes' not in name

    text, panels = [], []
    for threads in dict.fromkeys(r.threads for r in rows):
        own = [r for r in rows if r.threads == threads]
        peers = list(dict.fromkeys(n for r in own for n in r.seconds if r.roles[n] == 'peer'))
        names = [fused, passes, bare] + peers
        lines = [[f'{r.epilogue} {r.shape}'] + [number(r.seconds[n] * 1e3, '{:.3f}') if n in r.seconds else r.reason(n) for n in names] +
                 [number(gain(r), '{:.2f}'), number(r.ratio(fits=is_fused), '{:.2f}'), r.of_limit()] for r in own]
        header = ['epilogue, m x n x k'] + names + ['two passes / fused', "peers' best fused / ours", 'of the machine']
        text += ['', f'## {threads_text(threads)}, milliseconds', '', table(header, lines)]
        for title, ratio in (('two passes / fused', gain), ("peers' fused / ours", lambda r: r.ratio(fits=is_fused))):
            panels.append((f'{threads_text(threads)}: {title}', [(f'{r.epilogue} {r.shape}', ratio(r)) for r in own]))
    return text, ('more than 1: fusing is faster', panels)


def config_page(rows):
    text, panels = [], []
    for threads in dict.fromkeys(r.threads for r in rows):
        lines, ratios = [], []
        for r in (r for r in rows if r.threads == threads):
            chosen = next(n for n in r.seconds if r.roles[n] == 'ours')
            best = min(r.seconds, key=r.seconds.get)
            ratios.append((r.label(False), r.seconds[best] / r.seconds[chosen]))
            lines.append([r.label(False), number(r.gflops(chosen)), number(r.gflops(best)), str(len(r.seconds)),
                          f'{ratios[-1][1]:.3f}', '' if best == chosen else f'`{best}`'])
        text += [f'- {threads_text(threads)}: geometric mean of chosen / best {geomean([x for _, x in ratios]):.3f}, '
                 f'lowest {min(x for _, x in ratios):.3f}, over {len(ratios)} shapes', '',
                 table(['layout, m x n x k', 'chosen, GFLOP/s', 'best', 'configs', 'chosen / best', 'the best'], lines), '']
        panels.append((threads_text(threads), ratios))
    return text, ('chosen / best', panels)


def svg(title, axis, panels):
    """Panels beside each other: for each row a bar from 1 to its ratio, on a logarithmic axis."""
    line, top, bar_width = 14, 62, 190
    label_width = 20 + 6 * max(len(label) for _, values in panels for label, _ in values)
    panel_width = bar_width + 50
    rows = max(len(values) for _, values in panels)
    width, height = 20 + len(panels) * (label_width + panel_width), top + rows * line + 20
    known = [x for _, values in panels for _, x in values if x]
    low, high = min([0.8] + known) * 0.97, max([1.25] + known) * 1.03

    def x_of(left, value):
        return left + (math.log(value) - math.log(low)) / (math.log(high) - math.log(low)) * bar_width

    ticks = [1]
    for tick in (0.9, 0.8, 0.7, 0.5, 0.25, 0.1, 1.1, 1.25, 1.5, 2, 3, 4, 8, 16):
        if low <= tick <= high and all(abs(x_of(0, tick) - x_of(0, t)) > 22 for t in ticks):
            ticks.append(tick)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'font-family="sans-serif" font-size="10">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="10" y="18" font-size="14">{html.escape(title)}</text>',
           f'<text x="10" y="33" fill="#555">{html.escape(axis)}</text>']
    for i, (name, values) in enumerate(panels):
        edge = 10 + i * (label_width + panel_width)
        left, bottom = edge + label_width, top + len(values) * line
        out.append(f'<text x="{left}" y="{top - 18}" font-weight="bold">{html.escape(name)}</text>')
        for tick in ticks:
            x = x_of(left, tick)
            out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="{"#333" if tick == 1 else "#ddd"}"/>')
            out.append(f'<text x="{x:.1f}" y="{top - 4}" text-anchor="middle" fill="#555">{tick:g}</text>')
        for j, (label, value) in enumerate(values):
            y = top + j * line
            out.append(f'<text x="{left - 6}" y="{y + 11}" text-anchor="end">{html.escape(label)}</text>')
            if value is None:
                out.append(f'<text x="{x_of(left, 1) + 4:.1f}" y="{y + 11}" fill="#999">none</text>')
                continue
            begin, end = sorted((x_of(left, 1), x_of(left, value)))
            color = '#2a7' if value >= 1 else '#bb5' if value >= NOISE else '#c43'
            out.append(f'<rect x="{begin:.1f}" y="{y + 2}" width="{max(end - begin, 1):.1f}" height="{line - 4}" fill="{color}"/>')
            out.append(f'<text x="{end + 3:.1f}" y="{y + 11}" fill="#333">{value:.2f}</text>')
    return '\n'.join(out + ['</svg>', ''])


def page(name, rows, documents, prefix):
    pages = {'epilogue': epilogue_page, 'config': config_page}
    text, (axis, panels) = pages.get(name, gemm_page)(rows)
    first = documents[0]
    about = [a for d in documents for a in d['about'] if a['set'] == name]
    peers = {peer: more for a in about for peer, more in a['peers'].items()}
    missing = dict.fromkeys(m for a in about for m in a['missing'])
    head = [f'# {TITLES[name]}', '',
            f'{first["cpu"]}, {first["cores"]} cores' + (', beside ' if peers else '') +
            ', '.join(f'{peer} ({more})' if more else peer for peer, more in peers.items()) + '.', '',
            f'`make bench-cpu ARGS="--set {name}"`: in every round each takes its turn; a time is the lower quartile of its '
            'rounds in the better of two passes over all rows, because a neighbour on a shared machine only ever adds. One '
            'thread is timed by its own clock. A call of less than 10 ms follows one that is not counted, which finds the '
            'caches of whoever came before, and threads asleep. The limits of the machine are the fastest of all rounds: '
            '*peak*, multiply-adds in registers alone; *read*, B once from memory, where it is larger than the last '
            'cache. A peer that takes three times as long as the fastest is timed once or twice only.', '',
            f'![{axis}]({pathlib.Path(prefix).name}-{name}.svg)', '']
    notes = limits_text(rows) + reasons_text(rows) + [f'not here: {m}' for m in missing]
    tail = ['', '## Notes', ''] + [f'- {note}' for note in notes] if notes else []
    pathlib.Path(f'{prefix}-{name}.md').write_text('\n'.join(head + text + tail) + '\n')
    pathlib.Path(f'{prefix}-{name}.svg').write_text(svg(TITLES[name], axis, panels))
    print(f'{prefix}-{name}.md', f'{prefix}-{name}.svg')


def main(prefix, *files):
    documents = [json.loads(pathlib.Path(f).read_text()) for f in files]
    if any(d['partial'] for d in documents):
        prefix = 'build/partial'
    rows = [Row(r) for d in documents for r in d['rows']]
    for name in dict.fromkeys(r.set for r in rows):
        page(name, [r for r in rows if r.set == name], documents, prefix)


if __name__ == '__main__':
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
