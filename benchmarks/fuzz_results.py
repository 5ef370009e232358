"""Mutate signed results, and look for a mutation that is accepted or that causes a traceback.

python -m benchmarks.fuzz_results [--files 100000] [--seed 0] [--processes 2]
"""

from __future__ import annotations

import argparse
import collections
import random
import re
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from atariari_data.errors import AtariariError
from harness.results.consistency import check
from harness.results.result import Result
from harness.results.result_file import loads
from harness.results.sign import sign_result
from harness.results.verify import check_signatures
from harness.signing import allowed_signers, keys
from tests.made_results import make

TOKENS = (
    *(
        b"NaN",
        b"Infinity",
        b"1e999",
        b"-0",
        b"0.0",
        b"1E5",
        b"null",
        b"true",
        b"{}",
        b"[]",
        b'""',
        b"[" * 5000,
    ),
    *(
        b"9" * 400,
        b'"\\u202e"',
        b'"\\ud800"',
        b"\xff",
        b"\x00",
        b"\xe2\x80\xae",
        b"// x",
        b",",
        b"\r\n",
        b"\\",
    ),
    *(
        b'"schema_version":2',
        b'"ranked":false',
        b"-----BEGIN SSH SIGNATURE-----",
        b"AAAA",
        b"==",
        b"0.00001",
    ),
)


def mutate(data: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.choice((1, 1, 1, 2, 5))):
        at, to = draw.randrange(len(data)), draw.randrange(len(data))
        size = draw.choice((1, 2, 8, 60, 1000))
        match draw.randrange(8):
            case 0:
                data = data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
            case 1:
                data = data[:at] + data[at + size :]
            case 2:
                data = data[:at] + data[to : to + size] + data[at:]
            case 3:
                data = data[:at] + data[to : to + size] + data[at + size :]
            case 4:
                data = data[:at] + draw.choice(TOKENS) + data[at + size :]
            case 5:
                data = data[:at] + draw.choice(TOKENS) + data[at:]
            case 6:
                lines = data.split(b"\n")
                a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
                lines[a], lines[b] = lines[b], draw.choice((lines[a], lines[b]))
                data = b"\n".join(lines)
            case _:
                digits = [i for i in range(at, min(at + 4000, len(data))) if data[i : i + 1].isdigit()]
                if digits:
                    i = draw.choice(digits)
                    data = data[:i] + str(draw.randrange(10)).encode() + data[i + 1 :]
        data = data or b" "
    return data


def run(folder: str, files: int, seed: int) -> collections.Counter[str]:
    draw = random.Random(seed)  # noqa: S311  not a secret
    originals = [path.read_bytes() for path in sorted(Path(folder).glob("*.json"))]
    known = allowed_signers.read(Path(folder) / "allowed_signers")
    found: collections.Counter[str] = collections.Counter()
    for _ in range(files):
        data = mutate(draw.choice(originals), draw)
        try:
            result = loads(data)
            check_signatures(result, known)
            check(result.signed)
        except AtariariError as error:
            found[type(error).__name__ + ": " + re.split(r"[:,(]| at ", error.what)[0][:60]] += 1
        else:
            found["the original" if data in originals else "ACCEPTED"] += 1
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        public = keys.keygen(Path(folder) / "key")
        line = f'alice@example.org namespaces="atariari-result-v1" {public.line}\n'
        (Path(folder) / "allowed_signers").write_text(line, encoding="ascii")
        for seed in range(4):
            signed = make(seed, games=("pong",), suite=("breakout", "pong"))
            content = sign_result(Result(signatures=[], signed=signed), Path(folder) / "key").content
            (Path(folder) / f"{seed}.json").write_bytes(content)
        share = -(-options.files // options.processes)
        with ProcessPoolExecutor(options.processes) as pool:
            jobs = [
                pool.submit(run, folder, share, options.seed * 1000 + n) for n in range(options.processes)
            ]
            total = sum((job.result() for job in jobs), collections.Counter())
    for reason, count in total.most_common():
        print(f"{count:8d}  {reason}")
    print(f"{sum(total.values())} files in {time.monotonic() - begin:.0f} s, {total['ACCEPTED']} accepted")
    raise SystemExit(total["ACCEPTED"] > 0)


if __name__ == "__main__":
    main()
