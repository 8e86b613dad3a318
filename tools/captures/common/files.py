"""What goes into a guest and what comes out: its file system, ELF cores, compressed files."""

import gzip
import json
import os
import struct
import subprocess


def cpio(entries):
    """A newc archive of (name, mode, content, device) entries."""
    out = bytearray()

    def member(inode, name, mode, content, device):
        header = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, device[0], device[1], len(name) + 1, 0]
        out.extend(b'070701' + ''.join(f'{value:08x}' for value in header).encode() + name.encode() + b'\0')
        out.extend(b'\0' * (-len(out) % 4))
        out.extend(content)
        out.extend(b'\0' * (-len(out) % 4))

    for inode, entry in enumerate(entries, 1):
        member(inode, *entry)
    member(0, 'TRAILER!!!', 0, b'', (0, 0))
    return bytes(out)


def initramfs(directory, compiler, source, more=()):
    """A file system of the guest's only program, started as /init, and of further (name, content) files."""
    program = os.path.join(directory, 'init')
    include = os.path.dirname(os.path.abspath(__file__))
    subprocess.run([compiler, '-O1', '-static', '-s', '-I', include, '-o', program, source], check=True)
    with open(program, 'rb') as file:
        init = file.read()
    path = os.path.join(directory, 'initramfs.gz')
    files = [('dev', 0o40755, b'', (0, 0)), ('dev/console', 0o20600, b'', (5, 1)), ('init', 0o100755, init, (0, 0))]
    files += [(name, 0o100644, content, (0, 0)) for name, content in more]
    with gzip.open(path, 'wb') as file:
        file.write(cpio(files))
    return path


def write_gzip(path, data):
    with open(path, 'wb') as file, gzip.GzipFile(fileobj=file, mode='wb', compresslevel=9, mtime=0, filename='') as out:
        out.write(data)


def elf_core(pages, machine, page_bytes):
    """An ELF64 core whose segments are runs of table pages at their physical addresses."""
    runs = []
    for address in sorted(pages):
        if runs and runs[-1][0] + len(runs[-1][1]) == address:
            runs[-1][1].extend(pages[address])
        else:
            runs.append((address, bytearray(pages[address])))
    offset = 64 + 56 * len(runs)
    head = b'\x7fELF\x02\x01\x01' + b'\0' * 9
    head += struct.pack('<HHIQQQIHHHHHH', 4, machine, 1, 0, 64, 0, 0, 64, 56, len(runs), 0, 0, 0)
    body = bytearray()
    for address, data in runs:
        head += struct.pack('<IIQQQQQQ', 1, 4, offset + len(body), 0, address, len(data), len(data), page_bytes)
        body += data
    return head + bytes(body)


def dump(path, value):
    with open(path, 'w', encoding='utf8') as file:
        json.dump(value, file, indent=1)
        file.write('\n')
