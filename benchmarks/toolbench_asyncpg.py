"""The toolbench on asyncpg: a side like the others, which does a round of each line of standard input.

Arguments: SIDE WORK TASKS CONNECTIONS; the server is BENCH_URL. As the toolbench itself does it: each task has a connection, rows are
Records of Python values, a batch is `executemany`, a COPY is `copy_records_to_table`, and the loop is uvloop's.
"""

import asyncio
import os
import sys
import time

import asyncpg
import uvloop

ROW = (10, 11, 10, "TESTTESTTEST", 10.333, 12341234, "123456789012")
TABLE = "bench_own_asyncpg"
COLUMNS = "abcdefg"
COPIED = 10_000
BATCH = 1_000

FETCHED = {
    "1-pg_type": (
        "SELECT typname, typnamespace, typowner, typlen, typbyval, typcategory, typispreferred, typisdefined, typdelim, "
        "typrelid, typelem, typarray FROM pg_type WHERE typtypmod = $1 AND typisdefined = $2",
        (-1, True),
    ),
    "2-generate_series": ("SELECT i FROM generate_series(1, $1) AS i", (1000,)),
    "3-large_object": ("SELECT * FROM bench_blobs", ()),
    "4-arrays": ("SELECT * FROM bench_arrays", ()),
    "7-oneplusone": ("SELECT 1+1", ()),
}


def operation(connection, work):
    """A function that does `work` once."""
    if work in FETCHED:
        sql, values = FETCHED[work]
        return lambda: connection.fetch(sql, *values)
    if work == "5-copyfrom":
        rows = [ROW] * COPIED
        return lambda: connection.copy_records_to_table(TABLE, columns=COLUMNS, records=rows)
    if work == "6-batch":
        rows = [ROW] * BATCH
        insert = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6, $7)"
        return lambda: connection.executemany(insert, rows)
    sys.exit(f"asyncpg does not do {work}")


async def repeat(operation, end):
    done = 0
    while True:
        await operation()
        done += 1
        if time.monotonic_ns() >= end:
            return done


async def main():
    _, work, tasks, _ = sys.argv[1:]
    connections = [await asyncpg.connect(os.environ["BENCH_URL"]) for _ in range(int(tasks))]
    writes = work in ("5-copyfrom", "6-batch")
    if writes:
        await connections[0].execute(
            f"DROP TABLE IF EXISTS {TABLE}; CREATE TABLE {TABLE} "
            "(a INTEGER, b INTEGER, c INTEGER, d TEXT, e DOUBLE PRECISION, f INTEGER, g TEXT)"
        )
    operations = [operation(connection, work) for connection in connections]
    print("ready", flush=True)
    for line in sys.stdin:
        if writes:
            await connections[0].execute(f"TRUNCATE TABLE {TABLE}")
        cpu, start = time.process_time_ns(), time.monotonic_ns()
        end = start + int(line) * 1_000_000
        done = await asyncio.gather(*(repeat(operation, end) for operation in operations))
        print(sum(done), time.monotonic_ns() - start, time.process_time_ns() - cpu, 0, 0, 0, 0, flush=True)


uvloop.run(main())
