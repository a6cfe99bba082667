#!/usr/bin/env python3
"""Days in minutes: a node whose wall clock runs fast, under load, must come to rest in memory, descriptors and disk.

    tests/hurt/soak.py MILLSTREAM MILLSTREAM-BENCH [--minutes 5] [--speed 720] [--rate 2000]

libfaketime (Debian's package `faketime`) makes the node's wall clock run `--speed` times as fast; its monotonic clock, and with it
every timer, stays true. With 720 a day of retention is two minutes: segments expire, are recycled and written again as in
days of the same load a shard. The load is that of a full day in one: skewed keys, sizes with a long tail, and streams that are
created, written and deleted beside it.

The first day and a quarter is for filling up. Of the rest, the first and the last third are compared, by their medians: memory, descriptors
and disk may have grown by no more than --growth. What is on the disk must stay in proportion to a day of the load.

Fails also if the load tool finds a record lost, doubled, changed or out of order, or the node says that something panicked.

Not checked: what takes real time to grow, such as a counter that wraps or a leak of a few bytes an hour.
"""

import argparse
import glob
import statistics
import time

from node import Load, Node, percentile

DAY_S = 24 * 3600
SAMPLE_S = 1.0


def library():
    found = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
    if not found:
        raise SystemExit("libfaketime is not installed: apt-get install faketime")
    return found[0]


def passing(node, number):
    """A stream that comes, is written to, and goes."""
    name = f"passing-{number}"
    node.kinesis("CreateStream", StreamName=name, ShardCount=8)
    records = [{"Data": "QUJD" * 64, "PartitionKey": str(key)} for key in range(100)]
    answer = node.kinesis("PutRecords", StreamName=name, Records=records)
    if answer["FailedRecordCount"]:
        raise SystemExit(f"{answer['FailedRecordCount']} records failed")
    node.kinesis("DeleteStream", StreamName=name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("node")
    parser.add_argument("bench")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--speed", type=int, default=720, help="how many times as fast the wall clock runs")
    parser.add_argument("--rate", type=int, default=2_000, help="records per second")
    parser.add_argument("--growth", type=float, default=0.1, help="share by which things may grow in the end")
    args = parser.parse_args()
    seconds = int(args.minutes * 60)
    day = DAY_S / args.speed
    if seconds < 2.5 * day:
        raise SystemExit(f"a day takes {day:.0f} s: {seconds} s are too short to come to rest")
    faketime = {
        "LD_PRELOAD": library(), "FAKETIME": f"+0 x{args.speed}", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with Node(args.node, environment=faketime) as node:
        load = Load(
            args.bench, node, seconds, "--rate", args.rate, "--shards", 4, "--groups", 2,
            "--set", 'records.size={ kind = "log-normal", median = "600", sigma = 1.2, min = 64, max = "64KiB" }',
            "--set", 'records.keys={ kind = "zipf", count = 1000, exponent = 1.0 }')
        begun, samples, streams = time.monotonic(), [], 0
        while load.running():
            passing(node, streams)
            streams += 1
            at = time.monotonic() - begun
            samples.append((at / day, node.resident_bytes(), node.descriptors(), node.disk_bytes()))
            time.sleep(SAMPLE_S)
        result = load.result()
        if "panicked" in node.said():
            raise SystemExit(f"something panicked:\n{node.said()}")

    print(f"{result['put']['acked']:,} records and {streams} streams in {samples[-1][0]:.1f} days; "
          f"put-to-get p50 {percentile(result, 'put_to_get', 50.0):.2f} ms, p99 {percentile(result, 'put_to_get', 99.0):.2f} ms")
    settled = [sample for sample in samples if sample[0] > 1.25]
    third = len(settled) // 3
    wrong = []
    names = ["memory, MiB", "descriptors", "disk, MiB"]
    for at, name in enumerate(names, 1):
        unit = 1 << 20 if "MiB" in name else 1
        middle = lambda part: statistics.median(sample[at] for sample in part) / unit
        first, last = middle(settled[:third]), middle(settled[-third:])
        most = max(sample[at] for sample in samples) / unit
        print(f"{name:>12}: {first:10,.0f} in the first third, {last:10,.0f} in the last, {most:10,.0f} at most")
        if last > first * (1 + args.growth) + 16:
            wrong.append(f"{name} grew from {first:,.0f} to {last:,.0f}")
    written = result["put"]["bytes_per_s"] * day
    kept = statistics.median(sample[3] for sample in settled)
    print(f"a day of the load is {written / (1 << 20):,.0f} MiB of data; {kept / written:.1f} times as much is on the disk")
    if wrong:
        raise SystemExit(f"soak: {'; '.join(wrong)}")
    print("soak: it came to rest.")


if __name__ == "__main__":
    main()
