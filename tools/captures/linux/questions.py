"""Addresses to ask about."""

import random


def questions(runs, walker, bits, limit, seed):
    """Starts, ends, neighbours and insides of runs, points near the edges of the address space, and at random."""
    chance = random.Random(seed)
    top = (1 << bits) - 1
    half = 1 << walker.va_bits
    asked = {0, 0xFFF, 0x1000, top, top - 0xFFF, half - 1, half & top, top + 1 - half & top, top - half & top}
    if bits == 64:
        for bit in (38, 39, 46, 47, 48, 51, 52, 55, 56, 59, 63):
            asked |= {1 << bit, (1 << bit) - 1, top ^ (1 << bit), (top << bit) & top}
    chosen = runs if len(runs) <= limit // 8 else chance.sample(runs, limit // 8)
    for start, end, *_ in chosen:
        asked |= {start, end - 1, max(start - 1, 0), min(end, top), chance.randrange(start, end), chance.randrange(start, end)}
    for _ in range(limit // 3):
        start, end, *_ = chance.choice(runs) if runs else (0, top)
        span = 1 << walker.shift(chance.randrange(walker.root_level + 1))
        asked.add(max(0, min(top, chance.choice([start, end]) + chance.randrange(-span, span))))
    for _ in range(120):
        asked.add(chance.getrandbits(bits))
        asked.add(chance.getrandbits(walker.va_bits))
    # Tags in bits that may be ignored.
    for start, end, *_ in chance.sample(runs, min(len(runs), 25)) if bits == 64 else ():
        asked.add(chance.randrange(start, end) & ((1 << 56) - 1) | chance.getrandbits(8) << 56)
    return sorted(asked)
