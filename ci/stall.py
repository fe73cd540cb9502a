#!/usr/bin/env python3
"""Runs a program and stops its threads at random, one by one: ci/stall.py [--ms MOST] [--share SHARE] [--seed N] PROGRAM [ARGUMENTS].

What a busy machine does to a thread now and then happens all the time here: it is held up between any two instructions, for up to MOST
milliseconds (20), while the others go on. SHARE of them (0.4) are held up at any moment. Whatever depends on when a thread runs shows within
minutes. Linux only; it ends as the program does."""

import argparse
import ctypes
import heapq
import os
import random
import signal
import sys
import time

CONT, SEIZE, INTERRUPT, LISTEN = 7, 0x4206, 0x4207, 0x4208
TRACE_CLONE, EXIT_KILL = 1 << 3, 1 << 20
EVENT_STOP = 128
ALL_CHILDREN = 0x40000000
JOB_CONTROL = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, thread, data=0):
    return libc.ptrace(request, thread, None, data) == 0


def start(command):
    """Starts the program under our control."""
    wait, go = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(go)
        os.read(wait, 1)
        os.execvp(command[0], command)
    os.close(wait)
    if not ptrace(SEIZE, process, TRACE_CLONE | EXIT_KILL):
        sys.exit(f"stall.py: may not trace: {os.strerror(ctypes.get_errno())}")
    os.close(go)
    return process


class Threads:
    def __init__(self, process):
        self.process = process
        self.running = {process}
        self.asked = set()
        # When to let each go on.
        self.held = []
        self.status = None

    def changed(self, thread, status, most, rng):
        """What `waitpid` has said about a thread."""
        self.running.discard(thread)
        self.asked.discard(thread)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            self.held = [(when, other) for when, other in self.held if other != thread]
            heapq.heapify(self.held)
            if thread == self.process:
                self.status = status
        elif status >> 16 != EVENT_STOP:
            self.go_on(thread, 0 if status >> 16 else os.WSTOPSIG(status))
        elif os.WSTOPSIG(status) in JOB_CONTROL:
            ptrace(LISTEN, thread)
        else:
            # Mostly short, sometimes long.
            heapq.heappush(self.held, (time.monotonic() + rng.random() ** 3 * most, thread))

    def go_on(self, thread, signal_number=0):
        if ptrace(CONT, thread, signal_number):
            self.running.add(thread)

    def release(self):
        while self.held and self.held[0][0] <= time.monotonic():
            self.go_on(heapq.heappop(self.held)[1])

    def hold_some(self, share, rng):
        free = [thread for thread in self.running if thread not in self.asked]
        wanted = share * (len(self.running) + len(self.held)) - len(self.held) - len(self.asked)
        for thread in rng.sample(free, min(len(free), int(wanted + rng.random()))) if wanted > 0 else ():
            if ptrace(INTERRUPT, thread):
                self.asked.add(thread)


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--ms", type=float, default=20)
    arguments.add_argument("--share", type=float, default=0.4)
    arguments.add_argument("--seed", type=int)
    arguments.add_argument("command", nargs=argparse.REMAINDER)
    options = arguments.parse_args()
    rng = random.Random(options.seed)
    threads = Threads(start(options.command))
    while threads.status is None:
        thread, status = os.waitpid(-1, os.WNOHANG | ALL_CHILDREN)
        if thread:
            threads.changed(thread, status, options.ms / 1000, rng)
            continue
        threads.release()
        threads.hold_some(options.share, rng)
        time.sleep(0.0002)
    status = threads.status
    sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))


main()
