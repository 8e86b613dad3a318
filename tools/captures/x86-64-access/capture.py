#!/usr/bin/env python3
"""Asks an emulated x86-64 processor what single accesses do: builds the guest, runs it, writes a capture.

Questions come from dice (questions.py); answers are the processor's only. See README.md beside this file.
"""

import argparse
import collections
import gzip
import json
import os
import struct
import subprocess
import sys
import tempfile

from questions import DATA, KINDS, ROOT, SLOTS, TABLES, TARGET, VA, packed, questions

HERE = os.path.dirname(os.path.abspath(__file__))
FACTS = struct.Struct('<10Q')
ANSWER = struct.Struct('<5Q4Q')
PAGE_FAULT = 0x10000
COMPILE = [
    '-c', '-m64', '-O1', '-Wall', '-Wextra', '-Werror', '-ffreestanding', '-fno-pic', '-fno-stack-protector',
    '-fno-asynchronous-unwind-tables', '-fcf-protection=none', '-mno-red-zone', '-mgeneral-regs-only',
]  # fmt: skip


def build(directory, tools):
    """A 32-bit ELF file around 64-bit code: QEMU's multiboot loader takes no other."""
    inside = lambda name: os.path.join(directory, name)
    for source in ('boot.S', 'guest.c'):
        subprocess.run([f'{tools}gcc', *COMPILE, '-o', inside(source + '.o'), os.path.join(HERE, source)], check=True)
    script = os.path.join(HERE, 'link.ld')
    linked = ['-o', inside('guest64'), inside('boot.S.o'), inside('guest.c.o')]
    subprocess.run([f'{tools}ld', '-m', 'elf_x86_64', '-z', 'noexecstack', '-T', script, *linked], check=True)
    subprocess.run([f'{tools}objcopy', '-O', 'elf32-i386', inside('guest64'), inside('guest')], check=True)
    return inside('guest')


def run(directory, guest, asked, options, wait):
    module = os.path.join(directory, 'questions')
    answers = os.path.join(directory, 'answers')
    with open(module, 'wb') as file:
        file.write(b''.join(packed(q) for q in asked))
    channels = ['-debugcon', f'file:{answers}', '-device', 'isa-debug-exit,iobase=0xf4']
    quiet = ['-display', 'none', '-serial', 'none', '-monitor', 'none', '-net', 'none', '-no-reboot']
    command = ['qemu-system-x86_64', *options, *quiet, *channels, '-kernel', guest, '-initrd', module]
    # The guest's last word, 0 to isa-debug-exit, becomes status 1.
    status = subprocess.run(command, timeout=wait, check=False).returncode
    with open(answers, 'rb') as file:
        data = file.read()
    expected = FACTS.size + ANSWER.size * len(asked)
    if status != 1 or len(data) != expected:
        sys.exit(f'QEMU ended with {status}; {len(data)} of {expected} bytes of answers')
    return FACTS.unpack_from(data), list(ANSWER.iter_unpack(data[FACTS.size :]))


def check_facts(facts, width):
    """The processor must have all that questions are about, and lie where they say."""
    root, tables, target, va = facts[:4]
    if (root, tables, target, va) != (ROOT, TABLES[0], TARGET, VA):
        sys.exit(f'the guest lies elsewhere: {root:#x} {tables:#x} {target:#x} {va:#x}')
    sizes, _, _, extended, features, more = facts[4:]
    if sizes & 255 != width:
        sys.exit(f'MAXPHYADDR is {sizes & 255}: say --width {sizes & 255}')
    # CPUID: NX and Page1GB in 0x80000001:EDX; SMEP and SMAP in 7:EBX; PKU and PKS in 7:ECX.
    has = {
        'NX': extended >> 52 & 1,
        'Page1GB': extended >> 58 & 1,
        'SMEP': features >> 39 & 1,
        'SMAP': features >> 52 & 1,
        'PKU': more >> 3 & 1,
        'PKS': more >> 31 & 1,
    }
    missing = [name for name, found in has.items() if not found]
    if missing:
        sys.exit(f'the processor lacks {", ".join(missing)}')


def record(q, answer):
    """A question with its answer; entries afterwards only where something changed."""
    outcome, cr2, cr0, cr4, efer = answer[:5]
    before = q['entries']
    after = list(answer[5 : 5 + len(before)])
    at = VA if KINDS[q['kind']] == 'execute' else VA + DATA
    if outcome != 0 and (outcome & ~0xFFFF != PAGE_FAULT or cr2 != at):
        sys.exit(f'neither done nor its own page fault: {outcome:#x} at {cr2:#x}, {q}')
    if cr4 != q['cr4'] or any(answer[5 + len(before) :]):
        sys.exit(f'not the question that was asked: {q}')
    hexed = lambda words: [hex(word) for word in words]
    return {
        'va': hex(at),
        'kind': KINDS[q['kind']],
        'by': 'user' if q['user'] else 'supervisor',
        'ac': int(q['ac']),
        'cr0': hex(cr0),
        'cr4': hex(cr4),
        'efer': hex(efer),
        'pkru': hex(q['pkru']),
        'pkrs': hex(q['pkrs']),
        'entries': hexed(before),
        'error': None if outcome == 0 else outcome & 0xFFFF,
        **({} if after == before else {'after': hexed(after)}),
    }


def write_gzip(path, data):
    with open(path, 'wb') as file, gzip.GzipFile(fileobj=file, mode='wb', compresslevel=9, mtime=0, filename='') as out:
        out.write(data)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', help='folder of the capture')
    parser.add_argument('--count', type=int, default=5400, help='questions; 18 go once through leaves, kinds and modes')
    parser.add_argument('--seed', type=int, default=1, help='of the dice')
    parser.add_argument('--cpu', default='max', help='model and properties')
    parser.add_argument('--width', type=int, default=40, help='MAXPHYADDR of it: reserved bits begin there')
    parser.add_argument('--tools', default='', help='prefix of gcc, ld and objcopy: x86_64-linux-gnu-')
    parser.add_argument('--wait', type=int, default=300, help='seconds until all must be answered')
    given = parser.parse_args()

    asked = questions(given.count, given.width, given.seed)
    options = ['-M', 'q35', '-accel', 'tcg', '-cpu', given.cpu, '-smp', '1', '-m', '256']
    with tempfile.TemporaryDirectory(prefix='capture-') as directory:
        guest = build(directory, given.tools)
        facts, answers = run(directory, guest, asked, options, given.wait)
    check_facts(facts, given.width)
    records = [record(q, answer) for q, answer in zip(asked, answers)]

    version = subprocess.run(['qemu-system-x86_64', '--version'], stdout=subprocess.PIPE, check=True, encoding='utf8')
    machine = {
        'name': os.path.basename(os.path.normpath(given.out)),
        'cr3': hex(ROOT),
        'slots': [hex(slot) for slot in SLOTS],
        'cpu': {'maxphyaddr': given.width, 'gbpages': True},
        'seed': given.seed,
        'qemu': ' '.join(['qemu-system-x86_64', *options]),
        'qemu_version': version.stdout.splitlines()[0],
    }
    os.makedirs(given.out, exist_ok=True)
    with open(os.path.join(given.out, 'machine.json'), 'w', encoding='utf8') as file:
        json.dump(machine, file, indent=1)
        file.write('\n')
    lines = [json.dumps(each, separators=(',', ':')) for each in records]
    write_gzip(os.path.join(given.out, 'accesses.jsonl.gz'), ('\n'.join(lines) + '\n').encode())
    tally = collections.Counter('done' if each['error'] is None else f'{each["error"]:#04x}' for each in records)
    print(f'{given.out}: {len(records)} accesses', *(f'{name} {count}' for name, count in sorted(tally.items())))


if __name__ == '__main__':
    main()
