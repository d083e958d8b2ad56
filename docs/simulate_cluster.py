#!/usr/bin/env python3
"""What a cluster of any size would take, from times that were measured on a small one.

A discrete simulation of `nckit accumulate --cluster`: the client keeps two jobs on their way, each sized to take as long as
a checkpoint; the scheduler handles one message after the other; executors read, count, write their states, and merge
those of their bucket; the client fetches the merged states one after the other.

    python3 docs/simulate_cluster.py --executors 1 10 100 1000 --terabytes 0.01 0.1 1 10 100

Times of a task and of a message are flags, since they are of one machine; docs/cluster.md says where the defaults come
from. Nothing here knows of failures.
"""

import argparse
import heapq
import math


def simulate(a, executors, total):
    """Seconds, and the share of them in which executors worked."""
    part = a.part_mib * 2**20
    parts = math.ceil(total / part)
    state = a.state_mb * 1e6
    count = part / (a.gb_per_second * 1e9) + a.task_ms / 1e3 + state / (a.disk_gb_per_second * 1e9)
    network = a.network_gb_per_second * 1e9
    free = [0.0] * executors  # when each executor has nothing to do
    heapq.heapify(free)
    scheduler = client = 0.0  # when each is free
    size, begun, left, worked = 32, 0.0, parts, 0.0
    running = []  # (end of the map phase, parts, start)
    now = 0.0
    while left or running:
        while left and len(running) < 2:
            n = min(size, left)
            left -= n
            start = max(now, scheduler) + a.job_ms / 1e3
            scheduler = start
            ends = []
            for _ in range(n):
                # Launched and reported: two messages of the scheduler.
                scheduler = max(scheduler, start) + a.message_ms / 1e3
                at = max(heapq.heappop(free), scheduler)
                heapq.heappush(free, at + count)
                worked += count
                ends.append(at + count)
                scheduler += a.message_ms / 1e3
            buckets = n if n <= 4 else math.isqrt(n)
            end = max(ends)
            if n > 4:
                fetched = math.ceil(n / buckets) * state / network
                merged = math.ceil(n / buckets) * state / (a.merge_gb_per_second * 1e9)
                end += fetched + merged + a.task_ms / 1e3 + 2 * buckets * a.message_ms / 1e3
            running.append((end, n, start, buckets))
        running.sort()
        end, n, start, buckets = running.pop(0)
        now = end
        client = max(client, end) + buckets * (state / network + state / (a.merge_gb_per_second * 1e9))
        now = max(now, client)
        took = max(now - start, 1e-3)
        size = max(4, min(4096, int(n * min(4.0, max(0.25, a.checkpoint / took)))))
    return now, worked / (now * executors)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--executors", type=int, nargs="+", default=[1, 10, 100, 1000])
    p.add_argument("--terabytes", type=float, nargs="+", default=[0.01, 0.1, 1, 10, 100])
    p.add_argument("--part-mib", type=float, default=64)
    p.add_argument("--state-mb", type=float, nargs="+", default=[2.0], help="one state, K x D x 7 to 9 bytes and D x D x 4")
    p.add_argument("--gb-per-second", type=float, default=1.0, help="what one slot reads and counts")
    p.add_argument("--merge-gb-per-second", type=float, default=0.5)
    p.add_argument("--disk-gb-per-second", type=float, default=1.0)
    p.add_argument("--network-gb-per-second", type=float, default=1.0)
    p.add_argument("--task-ms", type=float, default=5.0)
    p.add_argument("--message-ms", type=float, default=0.5)
    p.add_argument("--job-ms", type=float, default=50.0)
    p.add_argument("--checkpoint", type=float, default=60.0)
    args = p.parse_args()
    for state in args.state_mb:
        one = argparse.Namespace(**{**vars(args), "state_mb": state})
        print(f"state of {state:g} MB: seconds, and the share of them in which executors count")
        print("  TB" + "".join(f"{n:>18}" for n in args.executors))
        for terabytes in args.terabytes:
            cells = [simulate(one, n, terabytes * 1e12) for n in args.executors]
            print(f"{terabytes:6g}" + "".join(f"{s:>11.1f} {u:5.0%} " for s, u in cells))


if __name__ == "__main__":
    main()
