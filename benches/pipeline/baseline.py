"""What nfs-scout replaces, written without it: each file is unpacked, counted in Redis and sent to RabbitMQ.

    baseline.py FOLDER REDIS_URL AMQP_URL

One file after the other and one message a file, as a daemon does that is told of one file at a time: the counters of a
job in one transaction, a persistent message whose confirmation is awaited. It remembers nothing of what it did. Prints
how many files, seconds and CPU seconds it took, the start of the interpreter left out.
"""

import json
import os
import re
import sys
import tarfile
import time

import pika
import redis

RESULT = re.compile(r"^(?:\./)?dat/(?:.*/)?([A-Z0-9]+)_\d{4}_[^/]*\.dat$")
PREFIX = "BASELINE"


def read(path):
    """The fields of jobdata and the experiments of the results."""
    fields, experiments = {}, set()
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if member.name in ("jobdata", "./jobdata"):
                text = archive.extractfile(member).read().decode("utf-8", "replace")
                for line in text.splitlines():
                    key, found, value = line.partition("=")
                    if found and "AUTHENTICATOR" not in key:
                        fields[key] = value
            elif result := RESULT.match(member.name):
                experiments.add(result.group(1))
    return fields, experiments


def count(connection, fields, experiments):
    """What a job changes, for the total and for each of its experiments."""
    events = int(fields.get("events") or 0)
    succeeded = fields.get("exitcode", "").strip() == "0"
    user = fields.get("USER_ID", "").strip()
    if not user and fields.get("BOINC_USERID", "").strip():
        user = "b-" + fields["BOINC_USERID"].strip()
    run = fields.get("run", "").split()
    change = connection.pipeline(transaction=True)
    for space in ["TOTAL", *experiments]:
        key = f"{PREFIX}/{space}/"
        change.hincrby(key, "jobs_completed", 1)
        if succeeded:
            change.hincrby(key, "events", events)
        else:
            change.hincrby(key, "jobs_failed", 1)
        if user:
            change.sadd(key + "USERS", user)
            change.zincrby(key + "PER_USER/jobs_completed", 1, user)
            change.zincrby(key + "PER_USER/" + ("events" if succeeded else "jobs_failed"), events or 1, user)
            for usage in ("cpuusage", "diskusage"):
                if fields.get(usage, "").strip():
                    change.zincrby(key + "PER_USER/" + usage, float(fields[usage]), user)
        if len(run) > 5:
            change.zincrby(key + "PER_GENERATOR/jobs_completed", 1, run[5])
        now = int(time.time() * 1000)
        change.zadd(key + "EVENT_BUFFER", {f"{fields.get('jobid')}_{events}": now})
        change.zremrangebyscore(key + "EVENT_BUFFER", 0, now - 600_000)
    change.execute()


def main():
    folder, redis_url, amqp_url = sys.argv[1:]
    connection = redis.Redis.from_url(redis_url)
    channel = pika.BlockingConnection(pika.URLParameters(amqp_url)).channel()
    channel.queue_declare("baseline", durable=True, arguments={"x-queue-type": "quorum"})
    channel.confirm_delivery()
    persistent = pika.BasicProperties(delivery_mode=2, content_type="application/json")
    paths = [os.path.join(top, name) for top, _, names in os.walk(folder) for name in names]
    # What a quorum queue does in its first seconds is nobody's business here.
    time.sleep(3)
    began, cpu = time.monotonic(), time.process_time()
    for path in paths:
        fields, experiments = read(path)
        count(connection, fields, experiments)
        body = json.dumps({"path": path, "jobdata": fields, "experiments": sorted(experiments)})
        channel.basic_publish("", "baseline", body, persistent, mandatory=True)
    spent = {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu}
    print(json.dumps({"files": len(paths), **spent}))


main()
