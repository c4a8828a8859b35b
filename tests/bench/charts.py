#!/usr/bin/env python3
"""charts.py --svg DIR RESULTS.json...: draws what diskalloc-bench measured, with gnuplot.

ratios.svg          bars: how many times as fast as the first contender, a group a workload
reading.svg         the same, of reading more than memory holds
cost-W1-push.svg …  lines: cost against size, for every workload and part that was measured at several sizes
reads-share.svg     lines: random reads a second against the share of the vector that fits into memory
reads-threads.svg   lines: random reads a second against threads

Several files are taken together; of the same measurement the first file's counts."""
import argparse
import json
import os
import subprocess
import sys
import tempfile

# Every contender keeps its colour, whoever else is there.  Told apart by the colour-blind too; the last are for new ones.
COLOURS = {
    'hand': '#000000', 'diskalloc-daemon': '#d55e00', 'diskalloc-dir': '#e69f00', 'ram-huge': '#0072b2',
    'malloc': '#56b4e9', 'boost': '#009e73', 'lmdb': '#cc79a7', 'memkind': '#7f7f7f', 'stxxl': '#8b4513',
    'hand-random': '#4d4d4d', 'diskalloc-random': '#b8a800', 'lmdb-random': '#984ea3', 'stxxl-small': '#d2b48c', 'fio': '#000080',
    'diskalloc-std': '#b15928', 'gnu-sort': '#a6d854', 'stdio': '#999933', 'stdio-zlib': '#117733', 'stdio-lz4': '#44aa99',
}
SPARE = ['#e31a1c', '#6a3d9a', '#1b9e77']
# Rows of the bar chart.
BARS = [('W1', 'push', 'W1\\npush'), ('W1', 'drop', 'W1\\ndrop'), ('W2', 'all', 'W2 update\\nat random'), ('W3', 'all', 'W3\\nscan'),
        ('W4T', 'all', 'W4T shrink\\nand grow'), ('W5', 'all', 'W5 many\\nsmall'), ('W6', 'push', 'W6 limited:\\npush'),
        ('W6', 'scan', 'W6 limited:\\nscan'), ('W7', 'all', 'W7 pushed,\\nconsumed once'), ('R5', 'all', 'R5 limited:\\nsort')]
# Rows of the bar chart of reading.
READING_BARS = [('R', 'R1 random reads', 'R1 random\\nreads'), ('R', 'R2 random read-modify-writes', 'R2 random\\nupdates'),
                ('R', 'R3 announced reads', 'R3 announced\\nreads'), ('R', 'R4 scan', 'R4\\nscan'),
                ('R', 'R4 scan after random reads', 'R4 scan after\\nrandom reads'), ('R4B', 'random reads', 'R4B reads\\nbeside a scan'),
                ('R4B', 'scan', 'R4B scan\\nbeside reads')]
READS = ('R', 'R1 random reads')
# The cost of a part: its unit, and how many of that a second are.  A drop is one thing, whatever its size.
UNITS = {'drop': ('milliseconds to give all back', lambda r: 1e3),
         'shrink': ('microseconds a shrink', lambda r: 1e6 / r['operations']),
         'grow': ('microseconds a grow', lambda r: 1e6 / r['operations'])}
TITLES = {('W1', 'push'): 'Pushing numbers of 8 bytes one by one', ('W1', 'drop'): 'Giving a filled vector back',
          ('W1', 'all'): 'Pushing numbers one by one, and giving all back', ('W2', 'all'): 'Updating numbers at random',
          ('W3', 'all'): 'Scanning a filled vector', ('W4T', 'shrink'): 'Shrinking a touched vector to 1 MiB',
          ('W4T', 'grow'): 'Growing a vector of 1 MiB'}


def size_text(n):
    for unit, name in ((1 << 30, 'GiB'), (1 << 20, 'MiB'), (1 << 10, 'KiB')):
        if n >= unit:
            return '%g %s' % (round(n / unit, 1), name)
    return '%d B' % n


def load(paths):
    """Results by (workload, part, bytes, contender) with one thread, all results, the names in order, the first file."""
    results, everything, names, first = {}, [], [], None
    for path in paths:
        if not os.path.exists(path):
            print('charts.py: there is no %s: left out' % path, file=sys.stderr)
            continue
        with open(path, encoding='utf-8') as f:
            data = json.load(f)
        first = first or data
        names += [c['name'] for c in data['contenders'] if c['name'] not in names]
        everything += data['results']
        for r in data['results']:
            if r.get('threads', 1) == 1:
                results.setdefault((r['workload'], r['part'], r['bytes'], r['contender']), r)
    if not first:
        sys.exit('charts.py: nothing to draw')
    return results, everything, names, first


def machine_line(data):
    m, disk = data['machine'], data['machine']['disk']
    mount = disk['mount'] or {'type': 'unknown file system'}
    return '%s, %d CPUs, %s memory, Linux %s, %s; diskalloc %s, %s' % (
        m['cpu'] or m['arch'], m['cpus'], size_text(m['memory_bytes']), m['kernel'], mount['type'], data['diskalloc'],
        m['time'][:10])


def colour(name, names):
    return COLOURS.get(name) or SPARE[[n for n in names if n not in COLOURS].index(name) % len(SPARE)]


def usual_size(results, workload, part, names):
    """The size the bars are of: 1 GiB if there, else the size that most contenders have."""
    counts = {}
    for (w, p, size, _), r in results.items():
        if (w, p) == (workload, part) and r['outcome'] == 'ok':
            counts[size] = counts.get(size, 0) + 1
    if not counts:
        return None
    return 1 << 30 if counts.get(1 << 30, 0) >= min(len(names), 2) else max(counts, key=lambda s: (counts[s], s))


def bar_lines(results, names, base, bars):
    """Rows: x, from, to, least, most, contender's number, word.  Also the labels of the groups, and who has a bar."""
    measured = {name for (w, p, _, name), r in results.items() if r['ratio'] > 0 and (w, p) in [b[:2] for b in bars]}
    rows, labels, shown = [], [], [n for n in names if n != base and n in measured]
    for workload, part, label in bars:
        size = usual_size(results, workload, part, names)
        if size is None:
            continue
        start = len(labels) * (len(shown) + 2)
        labels.append((start + (len(shown) - 1) / 2, '%s\\n%s' % (label, size_text(size))))
        for i, name in enumerate(shown):
            r = results.get((workload, part, size, name))
            if r and r['ratio'] > 0:
                rows.append((start + i, min(1, r['ratio']), max(1, r['ratio']), r['ratio_least'], r['ratio_most'], i, ''))
            elif r:
                word = {'killed': 'killed', 'unsupported': 'cannot', 'ok': 'cannot', 'timeout': 'timed out'}.get(r['outcome'], r['outcome'])
                rows.append((start + i, 1, 1, 1, 1, i, word))
    return rows, labels, shown


def sweep_lines(results, names, workload, part):
    """Per contender [(bytes, cost, least, most)], sizes ascending; and the unit."""
    unit, lines = None, {}
    for (w, p, size, name), r in sorted(results.items(), key=lambda x: x[0][2]):
        if (w, p) == (workload, part) and r['outcome'] == 'ok' and r['seconds'] and not r.get('rate'):
            unit, scale = UNITS.get(part, ('nanoseconds a number', None))
            factor = scale(r) if scale else 1e9 / r['operations']
            lines.setdefault(name, []).append((size, r['median'] * factor, min(r['seconds']) * factor,
                                               max(r['seconds']) * factor))
    return {n: lines[n] for n in names if n in lines}, unit


def write(path, blocks):
    """Gnuplot's blocks ("index"), two empty lines between them."""
    with open(path, 'w', encoding='utf-8') as f:
        f.write('\n\n\n'.join('\n'.join('\t'.join(str(x) for x in row) for row in block) for block in blocks) + '\n')


def gnuplot(kind, data, out, **variables):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'charts.gp')
    given = dict(variables, kind=kind, data=data, out=out)
    text = ''.join("%s='%s'\n" % (k, str(v).replace("'", "''")) for k, v in given.items())
    subprocess.run(['gnuplot', '-'], input=text + "load '%s'\n" % script.replace("'", "''"), text=True, check=True)
    print(out)


def draw_bars(results, names, data, out, scratch, name, bars, most):
    rows, labels, shown = bar_lines(results, names, data['compared_with'], bars)
    if not rows:
        return
    path = os.path.join(scratch, name + '.tsv')
    write(path, [[r for r in rows if r[5] == i] or [('NaN',) * 7] for i in range(len(shown))])
    tics = ', '.join('"%s" %g' % (text, x) for x, text in labels)
    gnuplot('bars', path, os.path.join(out, name + '.svg'), names=' '.join(shown),
            colours=' '.join(colour(n, names) for n in shown), tics=tics, base=data['compared_with'],
            machine=machine_line(data), last=max(r[0] for r in rows) + 1, most=most)


def draw_sweeps(results, names, data, out, scratch):
    for workload, part in sorted({(w, p) for w, p, _, _ in results}):
        lines, unit = sweep_lines(results, names, workload, part)
        sizes = sorted({x[0] for line in lines.values() for x in line})
        if len(sizes) < 2:
            continue
        path = os.path.join(scratch, '%s-%s.tsv' % (workload, part))
        write(path, list(lines.values()))
        tics = ', '.join('"%s" %d' % (size_text(s), s) for s in sizes)
        gnuplot('lines', path, os.path.join(out, 'cost-%s-%s.svg' % (workload, part)), names=' '.join(lines),
                colours=' '.join(colour(n, names) for n in lines), tics=tics, unit=unit,
                title=TITLES.get((workload, part), '%s %s' % (workload, part)), machine=machine_line(data),
                least=sizes[0], last=sizes[-1], xlabel='size of the vector, log scale', descending=0, format='%g')


def rate_lines(everything, names, same, x_of):
    """Of the random reads that have the same SAME(r): per contender [(x, rate, least, most)]; those with most values of x."""
    groups = {}
    for r in everything:
        if (r['workload'], r['part']) == READS and r['outcome'] == 'ok' and r['median'] > 0:
            lines = groups.setdefault(same(r), {})
            lines.setdefault(r['contender'], {})[x_of(r)] = (1 / r['median'], 1 / max(r['seconds']), 1 / min(r['seconds']))
    best = max(groups.values(), key=lambda g: len({x for line in g.values() for x in line}), default={})
    return {n: [(x,) + best[n][x] for x in sorted(best[n])] for n in names if n in best}


def share_text(share):
    return '%g×' % share if share >= 1 else '1/%g' % round(1 / share, 1)


def draw_rates(lines, names, data, out, scratch, name, title, xlabel, text, descending):
    xs = sorted({x[0] for line in lines.values() for x in line})
    if len(xs) < 2:
        return
    path = os.path.join(scratch, name + '.tsv')
    write(path, list(lines.values()))
    gnuplot('lines', path, os.path.join(out, name + '.svg'), names=' '.join(lines),
            colours=' '.join(colour(n, names) for n in lines), tics=', '.join('"%s" %.9g' % (text(x), x) for x in xs),
            unit='random reads a second', title=title, machine=machine_line(data), least=xs[0], last=xs[-1], xlabel=xlabel,
            descending=int(descending), format='%.0s%c')


def draw_reads(everything, names, data, out, scratch):
    one = [r for r in everything if r.get('threads', 1) == 1]
    draw_rates(rate_lines(one, names, lambda r: r['memory_limit'], lambda r: r['memory_limit'] / r['bytes']), names, data, out,
               scratch, 'reads-share', 'Random reads, by the share of the vector that fits into memory',
               'memory / vector, log scale', share_text, True)
    draw_rates(rate_lines(everything, names, lambda r: (r['memory_limit'], r['bytes']), lambda r: r.get('threads', 1)), names,
               data, out, scratch, 'reads-threads', 'Random reads of more than memory holds, by threads', 'threads, log scale',
               str, False)


def main():
    parser = argparse.ArgumentParser(description='Draws what diskalloc-bench measured.')
    parser.add_argument('--svg', required=True, metavar='DIR', help='where the charts go')
    parser.add_argument('json', nargs='+', help='results of diskalloc-bench --json')
    args = parser.parse_args()
    results, everything, names, data = load(args.json)
    os.makedirs(args.svg, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        draw_bars(results, names, data, args.svg, scratch, 'ratios', BARS, 32)
        draw_bars(results, names, data, args.svg, scratch, 'reading', READING_BARS, 1024)
        draw_sweeps(results, names, data, args.svg, scratch)
        draw_reads(everything, names, data, args.svg, scratch)


if __name__ == '__main__':
    main()
