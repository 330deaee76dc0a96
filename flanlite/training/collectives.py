"""Count the bytes that a compiled program sends between devices, from its text: partitioned HLO of the CPU,
GPU or TPU compiler.
"""

import math
import re
from collections import defaultdict
from typing import NamedTuple

KINDS = ('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'collective-permute')
BITS = {
    'pred': 8,
    's4': 4,
    'u4': 4,
    's8': 8,
    'u8': 8,
    's16': 16,
    'u16': 16,
    'bf16': 16,
    'f16': 16,
    's32': 32,
    'u32': 32,
    'f32': 32,
}
BITS |= {'s64': 64, 'u64': 64, 'f64': 64}

_COMPUTATION = re.compile(r'^(?:ENTRY )?%?([\w.\-]+) (?:\(.*)?\{\s*$')
_INSTRUCTION = re.compile(r'^\s*(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$')
_ARRAY = re.compile(r'\b([a-z]+\d+|pred)\[([\d,]*)\]')
_CALLED = re.compile(
    r'\b(?:calls|to_apply|body|branch_computations|called_computations)=\{?(%?[\w.\-]+(?:, ?%[\w.\-]+)*)'
)
_NAME = re.compile(r'%([\w.\-]+)')


class Traffic(NamedTuple):
    """One kind of collective in a step: how many run, and the bytes that each device sends if every
    collective uses a ring.
    """

    count: int
    ring_bytes: float


class Instruction(NamedTuple):
    """A line of a program: name, type of the result, opcode, and the rest with operands and attributes."""

    name: str
    result: str
    opcode: str
    rest: str


def traffic(hlo_text: str) -> dict[str, Traffic]:
    """Sum a compiled program's collectives by kind; a collective in a loop counts as often as the loop runs.

    In a ring of n devices each device sends 2 (n - 1) / n of an array's bytes for an all-reduce, (n - 1) / n
    of the whole array's for an all-gather, a reduce-scatter or an all-to-all, and all of its own part for a
    permute.

    Args:
        hlo_text: `jax.stages.Compiled.as_text()`. Loops must count to a constant, as those of `jax.lax.scan`
            do.

    Returns:
        Traffic by kind, for the kinds of `KINDS` that occur.
    """
    computations, entry = _parse(hlo_text)
    counts: dict[str, int] = defaultdict(int)
    sent: dict[str, float] = defaultdict(float)

    def walk(name: str, times: int, seen: dict[str, object]) -> None:
        visit = object()
        for line in computations.get(name, ()):
            kind = line.opcode.removesuffix('-start')
            if kind in KINDS:
                # The TPU compiler writes a collective into several fusions, to overlap it with them. All
                # copies have the same channel. So do all collectives of `shard_map`; these stay side by side.
                channel = re.search(r'channel_id=(\d+)', line.rest)
                if channel and seen.setdefault(channel[1], visit) is not visit:
                    continue
                # It writes a reduce-scatter as a fusion of an all-reduce and a slice.
                kind = 'reduce-scatter' if name.startswith('all-reduce-scatter') else kind
                counts[kind] += times
                sent[kind] += times * _ring_bytes(kind, line)
                continue
            called = [
                callee.strip().lstrip('%')
                for match in _CALLED.findall(line.rest)
                for callee in match.split(',')
            ]
            loops = line.opcode == 'while'
            for callee in called:
                walk(
                    callee,
                    times * _trip_count(computations, line) if loops else times,
                    {} if loops else seen,
                )

    walk(entry, 1, {})
    return {kind: Traffic(counts[kind], sent[kind]) for kind in KINDS if counts[kind]}


def _parse(text: str) -> tuple[dict[str, list[Instruction]], str]:
    """Split a program into its computations, and return the name of the entry computation beside them."""
    computations: dict[str, list[Instruction]] = {}
    lines: list[Instruction] = []
    entry = ''
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            lines = computations[match[1]] = []
            entry = match[1] if line.startswith('ENTRY') else entry
        elif match := _INSTRUCTION.match(line):
            lines.append(Instruction(*match.groups()))
    return computations, entry


def _trip_count(computations: dict[str, list[Instruction]], loop: Instruction) -> int:
    """Return how often a loop runs: the compiler's number, or else one from the condition (counter below
    limit) and the counter's step.
    """
    if known := re.search(r'known_trip_count\D*(\d+)', loop.rest):
        return int(known[1])
    condition, body = (
        computations[re.search(rf'{name}=%?([\w.\-]+)', loop.rest)[1]] for name in ('condition', 'body')
    )
    limits = [_constant(line) for line in condition if line.opcode == 'constant' and line.result[0] in 'su']
    counters = [
        re.search(r'index=(\d+)', line.rest) for line in condition if line.opcode == 'get-tuple-element'
    ]
    step = _step(body, int(counters[0][1])) if len(counters) == 1 else 1
    return -(-max(limits, default=1) // step)


def _step(body: list[Instruction], index: int) -> int:
    """Return the increment of a loop's counter, which is more than 1 where the compiler unrolled the loop."""
    by_name = {line.name: line for line in body}
    root = body[-1]
    operands = _NAME.findall(root.rest.split(')')[0])
    counted = by_name.get(operands[index]) if root.opcode == 'tuple' and index < len(operands) else None
    if counted is None or counted.opcode != 'add':
        return 1
    added = [by_name[name] for name in _NAME.findall(counted.rest.split(')')[0]) if name in by_name]
    return max((_constant(line) for line in added if line.opcode == 'constant'), default=1)


def _constant(line: Instruction) -> int:
    return int(re.match(r'-?\d+', line.rest)[0])


def _ring_bytes(kind: str, line: Instruction) -> float:
    shapes = [(dtype, shape) for dtype, shape in _ARRAY.findall(line.result) if dtype in BITS]
    sizes = [
        math.prod(int(size) for size in shape.split(',') if size) * BITS[dtype] / 8 for dtype, shape in shapes
    ]
    if kind == 'collective-permute':
        return max(sizes)  # the result of a -start lists the operand and some numbers, too
    n = _group_size(line.rest)
    if line.opcode.endswith('-start') and kind != 'all-reduce':
        # A -start lists operand and result: the larger one is the whole array.
        return max(sizes) * (n - 1) / n
    if line.opcode == 'reduce-scatter':
        return sum(sizes) * (n - 1)
    return sum(sizes) * (n - 1) / n * (2 if kind == 'all-reduce' else 1)


def _group_size(rest: str) -> int:
    """Return the number of devices of a replica group, from any of HLO's three notations."""
    if match := re.search(r'replica_groups=\[\d+,(\d+)\]', rest):
        return int(match[1])
    if match := re.search(r'replica_groups=mesh\[([^\]]*)\].*?\{([^}]*)\}', rest):
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", match[1]))
        return math.prod(int(sizes[axis]) for axis in re.findall(r"'([^']+)'", match[2]))
    if match := re.search(r'replica_groups=\{\{([\d,]*)\}', rest):
        return len(match[1].split(','))
    raise ValueError(f'no replica groups in {rest[:200]!r}')
