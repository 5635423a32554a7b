"""One line `hq submit --wait --env ... --each-line LIST -- PROGRAM ... && ...` as the command hq does it, by HyperQueue's package for Python, which has no
such command: a task for each line of LIST with HQ_ENTRY and what --env gives, in the folder it was submitted from; tasks have no other variable of
the submitting shell. Of the first task that is at work the process is killed once; what failed is submitted again, as HyperQueue's users do.
usage: SUBMITTER_RUN=<run folder> python hyperqueue_submit.py <line>"""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time

from hyperqueue import Job, LocalCluster
from hyperqueue.client import FailedJobsException
from hyperqueue.cluster import WorkerConfig

KNOWN = {"--wait": 0, "--env": 1, "--each-line": 1}


def expanded(line):
    """The words of a line as the submitting shell makes them, whose RUN is SUBMITTER_RUN."""
    ours = line.split(" && ")[0]
    script = f'RUN="$SUBMITTER_RUN"; set -- {ours}; for word; do printf "%s\\0" "$word"; done'
    return subprocess.run(["sh", "-c", script], check=True, capture_output=True, text=True).stdout.split("\0")[:-1]


def options_of(words):
    assert words[:2] == ["hq", "submit"], words
    options, at = [], 2
    while words[at] != "--":
        takes = KNOWN[words[at]]
        options.append(words[at : at + 1 + takes])
        at += 1 + takes
    return options, words[at + 1 :]


def kill_one(entries, killed):
    """SIGKILL to the first process seen that does one of the units."""
    while not killed.is_set():
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline") as file:
                    words = file.read().split("\0")
            except OSError:
                continue
            if words[2:3] == ["unit"] and words[4:5] and words[4] in entries:
                os.kill(int(pid), signal.SIGKILL)
                killed.set()
                return
        time.sleep(0.02)


def main():
    options, program = options_of(expanded(sys.argv[1]))
    env = dict(one[1].split("=", 1) for one in options if one[0] == "--env")
    (lines,) = [one[1] for one in options if one[0] == "--each-line"]
    entries = open(lines).read().splitlines()
    killed = threading.Event()
    os.environ.pop("RUN", None)
    with LocalCluster() as cluster:
        for _ in range(2):
            cluster.start_worker(WorkerConfig(cores=1))
        client = cluster.client()
        threading.Thread(target=kill_one, args=(entries, killed), daemon=True).start()
        for attempt in range(3):
            job = Job(max_fails=None, default_workdir=os.getcwd())
            for entry in entries:
                job.program(program, env={**env, "HQ_ENTRY": entry})
            try:
                client.wait_for_jobs([client.submit(job)])
                break
            except FailedJobsException as failed:
                print(f"attempt {attempt}: {failed}", file=sys.stderr)
        else:
            sys.exit("some tasks failed three times")
    killed.set()
    print(f"{len(entries)} tasks, {attempt + 1} attempts")


main()
