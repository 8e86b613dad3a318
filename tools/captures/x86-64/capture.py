#!/usr/bin/env python3
"""Boots an x86-64 kernel under QEMU, stops it in user mode, and writes a capture: table pages, registers, oracle.

The oracle is QEMU's own: the monitor commands `gva2gpa` for addresses, `info tlb` for leaves, `info mem` for
permissions. Which pages are tables is found by the small walker in walker.py, which knows nothing of Pagefold. See README.md
beside this file.
"""

import argparse
import json
import os
import random
import re
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'common'))

from files import dump, elf_core, initramfs, write_gzip
from qemu import Machine, fail
from walker import ADDRESS, PAGE, Walker

CR4_LA57 = 1 << 12
EM_X86_64 = 62


def registers_of(qmp):
    text = qmp.monitor('info registers')
    values = {name: int(value, 16) for name, value in re.findall(r'\b(CR[0234]|EFER|RIP)=([0-9a-f]+)', text)}
    values['CPL'] = int(re.search(r'CPL=(\d)', text).group(1))
    return values


class Memory:
    """Guest RAM behind its file. The q35 machine moves what does not fit below 2 GiB (of 2.75) to 4 GiB."""

    def __init__(self, ram):
        self.ram = ram
        self.low = 0x80000000 if ram.size >= 0xB0000000 else ram.size

    def page(self, address):
        page = self.ram.read(address if address < self.low else address - (1 << 32) + self.low, PAGE)
        return page or fail(f'a table outside of RAM: {address:#x}')


def questions(runs, walker, limit, seed):
    """Starts, ends, neighbours and insides of runs, points near the edges of the address space, and at random."""
    chance = random.Random(seed)
    top = (1 << 64) - 1
    half = 1 << (11 + 9 * walker.levels)
    asked = {0, 1, top, top - PAGE, half - 1, half, half - PAGE, (1 << 64) - half, (1 << 64) - half - 1, 1 << 47}
    asked |= {(1 << 47) - 1, 1 << 56, (1 << 56) - 1, 1 << 63, (1 << 63) - 1, 0xFFFF800000000000, 0xFFFF7FFFFFFFFFFF}
    chosen = runs if len(runs) <= limit // 6 else chance.sample(runs, limit // 6)
    for start, end, _ in chosen:
        asked |= {start, end - 1, max(start - 1, 0), end & top}
        asked |= {chance.randrange(start, end), chance.randrange(start, end)}
    while len(asked) < limit + 300:
        start, end, _ = chance.choice(runs)
        # Somewhere near a run: within what one entry of some level covers.
        span = 1 << (12 + 9 * chance.randrange(walker.levels))
        asked.add(max(0, min(top, chance.choice([start, end]) + chance.randrange(-span, span))))
    for _ in range(150):
        asked.add(chance.getrandbits(64))  # hardly ever canonical
        asked.add(chance.getrandbits(12 + 9 * walker.levels - 1))
    return sorted(asked)


def lines_of(text):
    return [line for line in text.replace('\r', '').split('\n') if line]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('kernel', help='vmlinuz')
    parser.add_argument('out', help='folder of the capture')
    parser.add_argument('--levels', type=int, choices=[4, 5], default=4, help='that the processor offers')
    parser.add_argument('--cpu', default='max', help='model and properties; the levels are added')
    parser.add_argument('--memory', type=int, default=2304, help='MiB; two GiB pages need more than 2048')
    parser.add_argument('--append', default='pti=on', help='more boot arguments')
    parser.add_argument('--questions', type=int, default=3000, help='per root')
    parser.add_argument('--wait', type=int, default=400, help='seconds until the guest must be ready')
    given = parser.parse_args()

    boot_args = f'console=ttyS0 panic=-1 hugepagesz=1G hugepages=1 hugepagesz=2M {given.append}'.strip()
    cpu = f'{given.cpu},la57={"on" if given.levels == 5 else "off"}'
    options = ['-M', 'q35,memory-backend=ram', '-cpu', cpu, '-smp', '1', '-m', str(given.memory)]
    with tempfile.TemporaryDirectory(prefix='capture-') as scratch:
        files = ['-kernel', given.kernel, '-initrd', initramfs(scratch, 'cc', os.path.join(HERE, 'guest.c'))]
        machine = Machine('qemu-system-x86_64', [*options, *files, '-append', boot_args], given.memory, 0)
        try:
            capture(given, machine, boot_args, cpu)
        finally:
            machine.close()


def capture(given, machine, boot_args, cpu):
    qmp = machine.qmp
    qmp.command('cont')
    deadline = time.time() + given.wait
    while '\nREADY\n' not in machine.console():
        if time.time() > deadline or machine.process.poll() is not None:
            fail(f'the guest never became ready:\n{machine.console()[-2000:]}')
        time.sleep(1)
    while True:
        qmp.command('stop')
        registers = registers_of(qmp)
        if registers['CPL'] == 3:
            break
        qmp.command('cont')
        time.sleep(0.01)
    text = machine.console()
    lines = lambda tag: re.findall(rf'^{tag} (.*)$', text, re.M)
    symbols = {}
    for line in lines('SYMBOL'):
        value, _, name = line.split()[:3]
        symbols[name] = f'0x{value}'

    # The kernel has the last word on the levels: no5lvl, or a build that knows only four.
    levels = 5 if registers['CR4'] & CR4_LA57 else 4
    walker = Walker(Memory(machine.ram), levels)
    # Under page table isolation a process has two roots side by side; the user's is the one with bit 12 set.
    isolated = 'isolation: enabled' in text
    user = registers['CR3']
    roots = {'user': user}
    if isolated:
        roots['kernel'] = user & ~0x1000
    init_top = walker.translate(roots.get('kernel', user) & ADDRESS, int(symbols['init_top_pgt'], 16))
    roots['init_top_pgt'] = init_top

    oracle = []
    permissions = []
    leaves = []
    facts = {}
    wrong = 0
    for label, value in roots.items():
        machine.gdb.write('cr3', value)
        if registers_of(qmp)['CR3'] != value:
            fail('writing CR3 had no effect')
        before = walker.leaf_entries
        runs = list(walker.leaves(value & ADDRESS))
        facts[label] = {
            'cr3': hex(value),
            'root_pa': hex(value & ADDRESS),
            'merged_leaves': len(runs),
            'leaf_entries': walker.leaf_entries - before,
        }
        for va in questions(runs, walker, given.questions, label):
            pa = machine.translate(va)
            answer = {'va': hex(va), 'pa': None if pa is None else hex(pa), 'root': label, 'source': 'gva2gpa'}
            oracle.append(json.dumps(answer))
            wrong += walker.translate(value & ADDRESS, va) != pa
        permissions += [f'root {label}', *lines_of(qmp.monitor('info mem'))]
        leaves += [f'root {label}', *lines_of(qmp.monitor('info tlb'))]
    machine.gdb.write('cr3', user)
    if wrong:
        fail(f'the walker of this script and QEMU disagree {wrong} times')

    maxphyaddr = re.search(r'MAXPHYADDR (\d+)', text)
    gbpages = re.search(r'GBPAGES (\d)', text)
    cpu_facts = {
        'maxphyaddr': int(maxphyaddr.group(1)) if maxphyaddr else 52,
        'gbpages': gbpages is None or gbpages.group(1) == '1',
    }
    facts_file = {
        'name': os.path.basename(os.path.normpath(given.out)),
        'arch': 'x86_64',
        'stage': 'full',
        'mode': f'{levels}-level',
        'page_size': PAGE,
        'levels': levels,
        'roots': facts,
        'registers': {name: hex(registers[name]) for name in ('CR0', 'CR3', 'CR4', 'EFER')},
        'cpu': cpu_facts,
        'tables': len(walker.tables),
        'isolation': isolated,
        'stopped': f'in user mode at {registers["RIP"]:#x}',
        'qemu': f'qemu-system-x86_64 -M q35 -cpu {cpu} -smp 1 -m {given.memory} -append "{boot_args}"',
        'qemu_version': machine.version(),
        'kernel_version': lines('KERNEL')[0] if lines('KERNEL') else '',
        'boot_args': boot_args,
        'symbols': symbols,
        'user_regions': [dict(zip(('what', 'start', 'bytes'), line.split())) for line in lines('REGION')],
        'note': 'gva2gpa looks at neither permissions nor reserved bits: null means not mapped',
    }
    os.makedirs(given.out, exist_ok=True)
    target = lambda name: os.path.join(given.out, name)
    dump(target('registers.json'), facts_file)
    write_gzip(target('tables.elf.gz'), elf_core(walker.tables, EM_X86_64, PAGE))
    write_gzip(target('oracle.jsonl.gz'), ('\n'.join(oracle) + '\n').encode())
    if len(permissions) > len(roots):  # QEMU 7.2 prints nothing for five levels
        write_gzip(target('mem.txt.gz'), ('\n'.join(permissions) + '\n').encode())
    write_gzip(target('tlb.txt.gz'), ('\n'.join(leaves) + '\n').encode())
    with open(target('user_maps.txt'), 'w', encoding='utf8') as file:
        file.write('\n'.join(lines('MAPS')) + '\n')
    print(f'{given.out}: {len(walker.tables)} tables, {len(oracle)} answers, roots {", ".join(roots)}')


if __name__ == '__main__':
    main()
