#!/usr/bin/env python3
"""Build the corpus "linux": C, documentation and scripts of one kernel source package as long documents.

    linux.py OUT [CACHE]        writes OUT/linux.jsonl (and OUT/linux.jsonl.xz with --pack); CACHE keeps the package

The package is pinned by sha256 below, and so is the result. Files of a folder are joined, in the order of the archive, to documents of
16 to 400 KB; a document's split follows from the first four parts of its path, so no folder is in two splits. Left out: files under
400 B or over 600 KB, drivers of networks, graphics, media, SCSI and sound (half of the archive, much of it alike), headers that are mostly
#define, device trees, test vectors, text that is not UTF-8.
Licence of the texts: GPL-2.0-only and the licences that single files state; the corpus is built, never shipped.
Needs python3 (3.9 or later), apt-get with Debian 12 lists, dpkg-deb; for --pack also xz.
"""
import argparse, hashlib, io, json, os, re, subprocess, sys, tarfile

PACKAGE, VERSION = 'linux-source-6.1', '6.1.192-2'
DEB = 'linux-source-6.1_6.1.192-2_all.deb'
DEB_SHA256 = 'ae95fe63d4c553f8d0e6c86cb1ab566f3894a43743eb19ab585cd97d82f26514'
CORPUS_SHA256 = '65b63a8743c2951893729f2a7ee73c857bb6c48e3590fca702772979e03fae03'  # of linux.jsonl
ENDINGS = ('.c', '.h', '.rst', '.S', '.txt', '.py', '.pl', '.sh')
LOW, HIGH = 400, 600_000            # bytes of a file
SHORT, LONG = 16 << 10, 400 << 10   # bytes of a document
LEFT_OUT = re.compile(r'^/drivers/(net|gpu|media|scsi)/|^/sound/|/dts/|/testvec|testmgr\.h$|/test[-_]?vectors?/')
HELD_OUT = 3                        # per cent of the folders, for valid and for test each


def file_sha(path):
    h = hashlib.sha256()
    with open(path, 'rb') as f:
        for b in iter(lambda: f.read(1 << 20), b''):
            h.update(b)
    return h.hexdigest()


def package(cache):
    path = os.path.join(cache, DEB)
    if not os.path.exists(path):
        subprocess.run(['apt-get', '-q', 'download', f'{PACKAGE}={VERSION}'], cwd=cache, check=True)
    if file_sha(path) != DEB_SHA256:
        sys.exit(f'{path} is not the pinned package (sha256 {DEB_SHA256}); remove it, or find version {VERSION} in an archive of Debian')
    return path


def files(deb):
    """Yields (path below the source's root, text) in the order of the archive."""
    with subprocess.Popen(['dpkg-deb', '--fsys-tarfile', deb], stdout=subprocess.PIPE) as p:
        package_tar = tarfile.open(fileobj=p.stdout, mode='r|')
        for outer in package_tar:
            if not outer.name.endswith('.tar.xz'):
                continue
            with tarfile.open(fileobj=io.BytesIO(package_tar.extractfile(outer).read()), mode='r:xz') as inner:
                for m in inner:
                    path = m.name.partition('/')[2]
                    if not (m.isfile() and path.endswith(ENDINGS) and LOW <= m.size <= HIGH) or LEFT_OUT.search('/' + path):
                        continue
                    try:
                        yield path, inner.extractfile(m).read().decode()
                    except UnicodeDecodeError:
                        continue


def wanted(path, text):
    if '\0' in text or '\r' in text:
        return False
    lines = text.count('\n') + 1
    return not (path.endswith('.h') and text.count('\n#define') > 0.6 * lines)


def split_of(folder):
    key = hashlib.sha256('/'.join(folder.split('/')[:4]).encode()).digest()
    share = int.from_bytes(key[:4], 'big') / 2**32 * 100
    return 'valid' if share < HELD_OUT else 'test' if share < 2 * HELD_OUT else 'train'


def documents(texts):
    """Joins the files of a folder until a document would grow over LONG; rests under SHORT join the document before them."""
    folders = {}
    for path, text in texts:
        if wanted(path, text):
            folders.setdefault(os.path.dirname(path), []).append((path, text))
    seen = set()
    for folder in sorted(folders):
        parts, size = [], 0
        for path, text in folders[folder] + [(None, '')]:
            if parts and (path is None or size + len(text.encode()) > LONG):
                if size >= SHORT:
                    body = '\n'.join(t for _, t in parts)
                    key = hashlib.sha256(body.encode()).hexdigest()
                    if key not in seen:
                        seen.add(key)
                        yield {'id': 'linux-' + key[:16], 'domain': 'code', 'split': split_of(folder), 'source': f'{PACKAGE}={VERSION}',
                               'title': parts[0][0] + (f' … {os.path.basename(parts[-1][0])}' if len(parts) > 1 else ''),
                               'licence': 'GPL-2.0-only', 'class': 'copyleft', 'text': body}
                parts, size = [], 0
            if path is not None:
                parts.append((path, text))
                size += len(text.encode()) + 1


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('out')
    a.add_argument('cache', nargs='?', default='.')
    a.add_argument('--pack', action='store_true', help='also write linux.jsonl.xz')
    o = a.parse_args()
    os.makedirs(o.out, exist_ok=True)
    os.makedirs(o.cache, exist_ok=True)
    target = os.path.join(o.out, 'linux.jsonl')
    count, size = {}, {}
    with open(target + '.tmp', 'w', encoding='utf-8', newline='\n') as f:
        for d in documents(files(package(o.cache))):
            f.write(json.dumps(d, ensure_ascii=False, separators=(',', ':')) + '\n')
            s = d['split']
            count[s], size[s] = count.get(s, 0) + 1, size.get(s, 0) + len(d['text'].encode())
    os.replace(target + '.tmp', target)
    for s in sorted(count):
        print(f'{s:5} {count[s]:5} documents {size[s]:>12,} bytes')
    got = file_sha(target)
    print(f'{target} sha256 {got}')
    if o.pack:
        subprocess.run(['xz', '-T0', '-6', '-kf', target], check=True)
    if CORPUS_SHA256 and got != CORPUS_SHA256:
        sys.exit(f'this is not the pinned corpus (sha256 {CORPUS_SHA256})')


if __name__ == '__main__':
    main()
