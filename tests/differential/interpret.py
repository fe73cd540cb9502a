"""Runs programs of the differential test on CPython's asyncio, in virtual time.

One request per line on standard input: the number of shuffled schedules to
try, a space, and a program (see program.rs for the language). One answer per
line on standard output, an s-expression as well:

    (result (flags F...) (task NAME (end T OUTCOME) (count N) (T EVENT...)...)... (order NAME...))

Times are virtual milliseconds, kept as whole numbers: the loop's clock starts
at 0 and jumps to the next timer when nothing is ready. OUTCOME is
`(value N)`, `(error TEXT)`, `(cancelled)` or `(pending)`.

A program is run several times: in asyncio's own order; with the callbacks of
completed futures ahead of task steps, so that the end of a task takes effect
at once; and then with task steps, equal timers and unordered sets shuffled.
When the runs differ the program depends on an order that nobody promises, and
is flagged `unstable`; the trace given is that of asyncio's own order. Other
flags name a row of the catalogue in which our runtime differs on purpose, or
say why the trace cannot be compared (see differences.rs). With 0 shuffles only
asyncio's own order is run.

Python 3.11.7 or newer; needs nothing but the standard library.
"""

import asyncio
import collections
import random
import sys
import warnings

OLD = sys.version_info < (3, 13)
OLDEST = sys.version_info < (3, 12)


# --- the text form -----------------------------------------------------------


def parse(text):
    """The s-expression as nested lists of strings."""
    stack = [[]]
    for token in text.replace("(", " ( ").replace(")", " ) ").split():
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    (form,) = stack[0]
    return form


def show(form):
    """The inverse of parse."""
    if isinstance(form, (list, tuple)):
        return "(" + " ".join(show(part) for part in form) + ")"
    return str(form)


# --- the loop ----------------------------------------------------------------


class Deadlock(BaseException):
    """Nothing is ready and no timer is left."""


class JumpingSelector:
    """Stands where I/O would be waited for; moves the clock instead."""

    def __init__(self):
        self.now = 0

    def select(self, timeout):
        if timeout is None:
            raise Deadlock
        self.now += int(timeout)
        return ()

    def close(self):
        pass


class Ready(collections.deque):
    """The queue of ready handles, which decides what runs next.

    `rng` None: callbacks first, then task steps first in, first out. Otherwise
    callbacks first, and among due timers and task steps a random choice.
    """

    def __init__(self, rng):
        super().__init__()
        self.rng = rng

    def popleft(self):
        ranks = [rank(handle) for handle in self]
        best = min(ranks)
        places = [i for i, r in enumerate(ranks) if r == best]
        place = places[0]
        if self.rng is not None and best != CALLBACK:
            place = self.rng.choice(places)
        handle = self[place]
        del self[place]
        return handle


CALLBACK, TIMER, STEP = range(3)


def rank(handle):
    """What the handle is: a callback of something completed, a due timer, or a step of a task."""
    if isinstance(handle, asyncio.TimerHandle):
        return TIMER
    callback = handle._callback
    if type(callback).__name__ == "TaskStepMethWrapper":
        return STEP
    if isinstance(getattr(callback, "__self__", None), asyncio.Task):
        return STEP
    return CALLBACK


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without I/O whose clock jumps, and which notices timers of different tasks that are due at one instant."""

    def __init__(self, run, schedule):
        super().__init__()
        self._selector = JumpingSelector()
        self._clock_resolution = 0.5
        self.run = run
        if schedule is not None:
            self._ready = Ready(schedule.rng)
        self.due_at = None
        self.due_of = None
        self.set_exception_handler(lambda loop, context: None)

    def time(self):
        return self._selector.now

    def call_at(self, when, callback, *args, context=None):
        owner = asyncio.current_task(self)

        def fire():
            self.note_due(when, owner)
            callback(*args)

        return super().call_at(when, fire, context=context)

    def note_due(self, when, owner):
        if self.due_at == when and self.due_of is not owner:
            self.run.flag("collision")
        self.due_at, self.due_of = when, owner

    def _process_events(self, event_list):
        pass

    def _write_to_self(self):
        pass


class Schedule:
    """An order other than asyncio's own."""

    def __init__(self, seed):
        self.rng = None if seed is None else random.Random(seed)


class OrderedSet(dict):
    """Stands in for a group's set of tasks, whose order would depend on addresses."""

    def __init__(self, rng):
        super().__init__()
        self.rng = rng

    def add(self, item):
        self[item] = True

    def discard(self, item):
        self.pop(item, None)

    def __iter__(self):
        items = list(super().__iter__())
        if self.rng is not None:
            self.rng.shuffle(items)
        return iter(items)


class CountedTask(asyncio.Task):
    """A task that remembers how many requests it was given."""

    run = None
    requests = 0
    last = None  # when the last request came, and whether it was passed on by a task that awaits this one
    passing = 0  # how many calls of cancel are around

    def cancel(self, msg=None):
        passed = CountedTask.passing > 0
        ready = has_step(self) or (self.run is not None and self.run.is_being_told(self))
        ready = ready and self is not asyncio.current_task(self.get_loop())
        CountedTask.passing += 1
        try:
            noted = super().cancel(msg)
        except RecursionError:
            # It went round a cycle of tasks.
            self.run.flag("T-12")
            raise
        finally:
            CountedTask.passing -= 1
        if noted and self.run is not None:
            self.note_request(self.run.now(), passed)
            if passed and ready:
                # With us it is passed on at the next poll of the one that awaits: this one takes its step before.
                self.run.flag("C-11")
            elif passed:
                self.run.note_waiting(self)
            if passed and self.run.swept:
                self.run.flag("SD-06")
        return noted

    def note_request(self, now, passed):
        self.requests += 1
        if self.requests > 1:
            # Which of several messages is delivered differs (C-23).
            self.run.flag("messages")
        if self.last is not None and self.last[0] == now and (passed or self.last[1]):
            # What is passed on comes later with us, perhaps too late to be counted.
            self.run.flag("counts")
            state = self.run.states.get(self)
            if state is not None and any(fired(scope) for scope, _ in state.scopes):
                self.run.flag("TO-12")
        self.last = (now, passed)


# --- the language ------------------------------------------------------------


class E(Exception):
    """The error of a program; `tag` says which."""

    def __init__(self, tag):
        super().__init__(tag)
        self.tag = tag


def error_text(error):
    """An error in one word. The members of a group are sorted: their order is one of completion."""
    if isinstance(error, E):
        return error.tag
    if isinstance(error, BaseExceptionGroup):
        return "group[" + ",".join(sorted(map(error_text, error.exceptions))) + "]"
    return "unexpected:" + repr(error).replace(" ", "_").replace("(", "[").replace(")", "]")


ERRORS = (E, ExceptionGroup)
NEXT = None


class State:
    """What the interpreter knows about the task it is running in."""

    def __init__(self, name):
        self.name = name
        self.came_round = False  # a request that this task made has already come back to it
        self.passed_at = None  # when a request went to one that waits for this task through callbacks, in a step of this task
        self.again = False  # a group that failed has made a request from outside pending again
        self.scopes = []  # Timeout and TaskGroup objects, outermost first, with their count at entry


class Run:
    """One program, run once."""

    def __init__(self, schedule):
        self.schedule = schedule
        self.rng = schedule.rng if schedule is not None else None
        self.flags = set()
        self.tasks = {}  # name -> task or future, in the order of creation
        self.names = {}  # the same, turned round
        self.free = set()  # names whose result nobody has taken yet
        self.groups = {}
        self.children = set()  # the names of those that groups have
        self.states = {}  # task -> its State
        self.waiting = {}  # task -> what it waits for through callbacks
        self.wrapped = set()  # the names of those that a shield or a gather awaits in a task of its own
        self.refused = set()  # the names of those that no group took any more
        self.promises = {}
        self.events = {}
        self.ends = {}
        self.order = []
        self.sweeping = False
        self.swept = False  # all of them have got the sweep's request
        self.frozen = False
        self.loop = VirtualLoop(self, schedule)
        self.loop.set_task_factory(self.make_task)

    def make_task(self, loop, coro, **options):
        task = CountedTask(coro, loop=loop, **options)
        task.run = self
        return task

    def flag(self, name):
        if not self.frozen:
            self.flags.add(name)

    def now(self):
        return self.loop.time()

    def event(self, state, *words):
        if self.frozen:
            return
        self.events[state.name].append((self.now(), *words))
        self.order.append(state.name)

    # --- running

    def execute(self, program):
        _, mode, *body = program
        asyncio.set_event_loop(None)
        try:
            self.loop.run_until_complete(self.supervise(mode, body))
            self.sweep(mode)
        except Deadlock:
            self.flag("deadlock")
        except RecursionError:
            # The sweep's request; flagged where it came round.
            pass
        self.freeze()
        try:
            self.abandon()
        except RecursionError:
            # Nobody can end them.
            pass
        self.loop.close()

    async def supervise(self, mode, body):
        self.start("m", body)
        await asyncio.wait([self.tasks["m"]])
        while mode == "drain" and (left := self.unfinished()):
            await asyncio.wait(left)

    def unfinished(self):
        return [t for t in self.tasks.values() if isinstance(t, asyncio.Task) and not t.done()]

    def sweep(self, mode):
        """What asyncio.run does with the tasks that main leaves behind."""
        for name in self.wrapped:
            # Also when only wrappers are left.
            self.flag_swept_wrapper(name)
            if mode == "sweep" and self.ends.get(name) == self.now():
                # What awaits the wrapper needs a step more, and the sweep finds it.
                self.flag("unstable")
        left = self.unfinished()
        if not left:
            return
        self.sweeping = True
        steps = {n: [t for t, what, *_ in events if what != "start"] for n, events in self.events.items() if n != "m"}
        told = any(self.is_being_told(task) for task in left)
        if told or sum(self.now() in times for times in steps.values()) > 1:
            # Beside the one that main waited for: with us these may need a step more, and the sweep finds them.
            self.flag("unstable")
        if self.rng is not None:
            self.rng.shuffle(left)
        for task in left:
            task.cancel()
        self.swept = True
        self.loop.run_until_complete(self.wait_for_all(left))

    async def wait_for_all(self, left):
        await asyncio.wait(left)

    def flag_swept_wrapper(self, name):
        """With us a shield, and a gather of tasks, awaits in a task of its own, which is swept as well."""
        if self.tasks[name].done():
            return
        if isinstance(self.tasks[name], asyncio.Task):
            self.flag("counts")
        else:
            self.flag("SH-11")

    def abandon(self):
        """Ends what a deadlock left, or the sweep (R-10), without recording it."""
        for _ in range(100):
            left = [t for t in asyncio.all_tasks(self.loop) if not t.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            try:
                self.loop.run_until_complete(self.wait_for_all(left))
            except Deadlock:
                pass
        self.flags.add("stuck")

    def freeze(self):
        """Takes down how things stand; nothing is recorded from here on."""
        for name, task in self.tasks.items():
            # What ended just now has not been noted yet.
            self.ends.setdefault(name, self.now() if task.done() else 0)
        self.frozen = True
        self.outcomes = {name: self.outcome(task) for name, task in self.tasks.items()}
        self.counts = {name: count_of(task) for name, task in self.tasks.items()}
        self.counts.update(dict.fromkeys(self.refused, 1))

    def outcome(self, task):
        if not task.done():
            return ("pending",)
        if task.cancelled():
            return ("cancelled",)
        error = task.exception()
        return ("value", task.result()) if error is None else ("error", error_text(error))

    def trace(self):
        parts = []
        for name in sorted(self.outcomes):
            end = ("end", self.ends[name], self.outcomes[name])
            parts.append(("task", name, end, ("count", self.counts[name]), *self.events[name]))
        return parts

    # --- tasks

    def start(self, name, body, create=None):
        """Creates a task that runs `body` and is known as `name`."""
        if self.sweeping:
            self.flag("R-10")
        create = create or self.loop.create_task
        coro = self.task_body(name, body)
        try:
            task = create(coro)
        except RuntimeError:
            # TG-05: with us the new task is cancelled instead.
            coro.close()
            task = self.loop.create_future()
            task.cancel()
            self.refused.add(name)
        self.register(name, task)
        return task

    def register(self, name, task):
        self.tasks[name] = task
        self.names[task] = name
        self.free.add(name)
        self.events[name] = []
        task.add_done_callback(self.note_end)

    def note_end(self, task):
        if not self.frozen:
            self.ends[self.names[task]] = self.now()

    async def task_body(self, name, body):
        state = State(name)
        self.states[asyncio.current_task()] = state
        self.event(state, "start")
        try:
            value = await self.block(state, body)
        except ERRORS:
            if asyncio.current_task()._must_cancel and name not in self.children:
                self.flag("C-14")
            raise
        finally:
            self.flag_came_round(state)
            if state.passed_at == self.now():
                # The one that waits for this task has a step by that.
                self.flag("C-11")
        self.flag_again(state)
        return 0 if value is NEXT else value

    def take(self, names):
        """The tasks among `names` whose result is still to be had; they are not any longer."""
        taken = [name for name in names if name in self.free]
        self.free.difference_update(taken)
        return taken

    # --- statements; a block gives NEXT or the value that is returned

    async def block(self, state, body):
        for form in body:
            word, *args = form
            value = await getattr(self, "do_" + word.replace("-", "_"))(state, *args)
            if value is not NEXT:
                return value
        return NEXT

    async def do_log(self, state, tag):
        self.event(state, "log", tag)

    async def do_sleep(self, state, ms):
        if int(ms) == 0:
            self.flag_came_round(state)
        await asyncio.sleep(int(ms))
        self.event(state, "slept")

    async def do_yield(self, state):
        self.flag_came_round(state)
        await asyncio.sleep(0)
        self.event(state, "yielded")

    async def do_count(self, state):
        self.flag_came_round(state)
        self.event(state, "count", asyncio.current_task().cancelling())

    async def do_uncancel(self, state):
        task = asyncio.current_task()
        before = task.cancelling()
        self.flag_came_round(state)
        for scope, entry in state.scopes:
            if fired(scope) or before <= entry:
                self.flag("uncancel-in-scope")
        if OLD and before == 1 and task._must_cancel:
            self.flag("old:C-29")
        self.event(state, "uncancel", task.uncancel())

    async def do_raise(self, state, tag):
        raise E(tag)

    async def do_return(self, state, value):
        return int(value)

    async def do_spawn(self, state, name, *body):
        self.start(name, body)

    async def do_spawn_in(self, state, group, name, *body):
        group = self.groups.get(group)
        if group is not None:
            self.children.add(name)
        self.start(name, body, group and group.create_task)

    async def do_cancel(self, state, name, msg=None):
        task, own = self.tasks.get(name), asyncio.current_task()
        before, pending, had = own.cancelling(), own._must_cancel, state.came_round
        noted = task is not None and task.cancel(msg)
        state.came_round |= task is not own and own.cancelling() > before
        if pending and own.cancelling() > before and (had or state.came_round):
            # One that came round and another are merged; with us it interrupts what answers the other.
            self.flag("C-15")
        self.event(state, "cancel", name, "unknown" if task is None else yes(noted))

    def flag_came_round(self, state):
        """With us a request travels when the tasks on its way are polled: not before this step is over."""
        if state.came_round and asyncio.current_task()._must_cancel:
            self.flag("C-15")

    def flag_again(self, state):
        """With us a request that a group has made pending again replaces no value."""
        if state.again and asyncio.current_task()._must_cancel:
            self.flag("C-13")

    async def do_cancel_later(self, state, ms, name):
        if name in self.tasks:
            self.loop.call_later(int(ms), self.tasks[name].cancel)

    def is_about_to_be_cancelled(self, state):
        """Whether the next suspension is: by a request, or a timeout that is due."""
        limits = [scope.when() for scope, _ in state.scopes if isinstance(scope, asyncio.Timeout)]
        return asyncio.current_task()._must_cancel or any(when is not None and when <= self.now() for when in limits)

    def flag_passed_at_once(self, tasks):
        """With us a request of a task to itself reaches what it awaits at its next poll: what is ready now runs before."""
        if not asyncio.current_task()._must_cancel:
            return
        if any(map(is_ready, tasks)):
            self.flag("C-11")
        if any(was_asked(task, self.now()) for task in tasks):
            self.flag("counts")

    def flag_failed_children(self, names):
        """A request was passed on to a child that failed: with us it has ended cancelled, and its group has the error."""
        for task in map(self.tasks.get, self.children.intersection(names)):
            if task.done() and not task.cancelled() and task.exception() and task.requests:
                self.flag("TG-16")

    async def through_callbacks(self, tasks, future):
        """Awaits what is told of the end of tasks by callbacks, a pass after it."""
        running = asyncio.current_task()
        self.waiting[running] = list(tasks)
        try:
            return await future
        finally:
            del self.waiting[running]

    def note_waiting(self, task):
        """A request is passed to a task in a step of another one, for whose end it may wait."""
        running = asyncio.current_task(self.loop)
        if running in self.waiting.get(task, ()):
            self.states[running].passed_at = self.now()

    def is_being_told(self, task):
        """Whether something that the task waits for has ended at this instant: with us it has been woken."""
        tasks = self.waiting.get(task, ())
        return any(map(self.has_ended_now, tasks))

    def has_ended_now(self, task):
        """Whether a task has ended at this instant; that of just now may not have been noted yet."""
        return task.done() and self.ends.get(self.names[task], self.now()) == self.now()

    def others_are_ready(self):
        """Whether it can be seen that the running task suspends here."""
        running = asyncio.current_task()
        ready = [t for t in self.unfinished() if t._fut_waiter is None or t._fut_waiter.done()]
        return running._must_cancel or ready != [running]

    async def do_await(self, state, name):
        if not self.take([name]):
            self.event(state, "untaken", name)
            return
        self.flag_passed_at_once([self.tasks[name]])
        try:
            value = await self.tasks[name]
        finally:
            self.flag_failed_children([name])
        self.event(state, "got", name, value)

    async def do_shield(self, state, name):
        if not self.take([name]):
            self.event(state, "untaken", name)
            return
        self.wrapped.add(name)
        if self.sweeping:
            self.flag_swept_wrapper(name)
        value = await self.through_callbacks([self.tasks[name]], asyncio.shield(self.tasks[name]))
        self.event(state, "got", name, value)

    async def do_wait_for(self, state, ms, name):
        if OLDEST:
            self.flag("old:WF-02")
        if not self.take([name]):
            self.event(state, "untaken", name)
            return
        self.flag_passed_at_once([self.tasks[name]])
        try:
            if int(ms) > 0:
                value = await asyncio.wait_for(self.tasks[name], int(ms))
            else:
                # WF-07: with us no special case.
                async with asyncio.timeout(0):
                    value = await self.tasks[name]
        except TimeoutError:
            self.event(state, "timeout")
        else:
            self.event(state, "got", name, value)
        finally:
            self.flag_failed_children([name])

    async def do_join(self, state, name):
        task = self.tasks.get(name)
        if task is not None and not task.done():
            await self.through_callbacks([task], asyncio.wait([task]))
        self.event(state, "joined", name)

    async def do_gather(self, state, kind, items):
        tasks = self.gathered(items)
        if OLDEST and all(task.done() for task in tasks):
            self.flag("old:G-18")
        self.flag_passed_at_once(tasks)
        self.flag_over_at_once(state, kind, tasks)
        outer = asyncio.gather(*tasks, return_exceptions=kind == "all")
        try:
            values = await self.through_callbacks(tasks, outer)
        except BaseException:
            self.flag_failed_together(kind, tasks)
            if getattr(outer, "_cancel_requested", False):
                # It takes that of some child.
                self.flag("messages")
                self.flag_cancelled_gather(kind, tasks)
            raise
        finally:
            self.flag_failed_children(map(self.names.get, tasks))
        self.event(state, "gathered", *map(result_text, values))

    def gathered(self, items):
        """The tasks of a gather: names stand for tasks, lists for new ones."""
        tasks = []
        for item in items:
            if isinstance(item, str):
                taken = self.take([item])
                self.wrapped.update(taken)
                tasks += [self.tasks[name] for name in taken]
                if self.sweeping:
                    # With us a task is awaited by one that the gather makes.
                    self.flag("R-10")
            else:
                name, *body = item
                tasks.append(self.start(name, body))
                self.take([name])
        return tasks

    def flag_over_at_once(self, state, kind, tasks):
        """The translation waits for each task in one that the gather makes: it knows of the end of one a pass later."""
        if kind == "first" and any(map(has_failed, tasks)) and self.others_are_ready():
            self.flag("G-18")
        if all(task.done() for task in tasks) and self.is_about_to_be_cancelled(state):
            self.flag("G-18")
        promises = any(not isinstance(task, asyncio.Task) and not task.done() for task in tasks)
        if promises and asyncio.current_task()._must_cancel and self.others_are_ready():
            # The request goes to that task first.
            self.flag("C-11")

    def flag_failed_together(self, kind, tasks):
        """As above: of a task that was there before, and a new one, the gather knows of the end of the new one first."""
        failed = [task for task in tasks if has_failed(task) and self.has_ended_now(task)]
        if kind == "first" and len(failed) > 1:
            self.flag("G-18")

    def flag_cancelled_gather(self, kind, tasks):
        """Ours waits for every child, and a child's error wins; asyncio's takes the first outcome."""
        if kind == "all" or len(tasks) < 2:
            return
        if any(not t.done() for t in tasks):
            self.flag("G-11")
        elif any(not t.cancelled() and t.exception() for t in tasks):
            self.flag("G-11")

    async def do_wait(self, state, kind, names, ms=None):
        names = self.take(names)
        if not names:
            self.event(state, "waited", (), ())
            return
        members = {self.tasks[name]: name for name in names}
        if kind == "error" and self.children.intersection(names):
            self.flag("W-07")
        if all(t.done() for t in members) and self.is_about_to_be_cancelled(state):
            self.flag("W-08")
        waiting = asyncio.wait(members, timeout=None if ms is None else int(ms), return_when=RETURN_WHEN[kind])
        done, pending = await self.through_callbacks(members, waiting)
        self.free.update(names)
        self.event(state, "waited", sorted(map(members.get, done)), sorted(map(members.get, pending)))

    async def do_as_completed(self, state, names, ms=None):
        names = self.take(names)
        if OLD:
            # No iteration that gives the tasks themselves (AC-03).
            self.flag("old:AC-03")
            return
        members = {self.tasks[name]: name for name in names}
        done = sum(task.done() for task in members)
        if done > 1 or (done and self.is_about_to_be_cancelled(state)):
            self.flag("AC-01")
        items = asyncio.as_completed(members, timeout=None if ms is None else int(ms))
        try:
            await self.through_callbacks(members, self.note_items(state, items, members))
        except TimeoutError:
            self.event(state, "timeout")

    async def note_items(self, state, items, members):
        async for task in items:
            self.event(state, "item", members[task], self.outcome(task))

    async def do_catch(self, state, then, body, handler):
        try:
            return await self.block(state, body)
        except asyncio.CancelledError as error:
            self.event(state, "caught", message_of(error))
            value = await self.block(state, handler)
            if value is not NEXT:
                return value
            if then == "reraise":
                raise

    async def do_try(self, state, body, handler):
        try:
            return await self.block(state, body)
        except ERRORS as error:
            self.event(state, "failed", error_text(error))
            return await self.block(state, handler)

    async def do_finally(self, state, body, handler):
        try:
            value = await self.block(state, body)
        except (asyncio.CancelledError, *ERRORS):
            value = await self.block(state, handler)
            if value is not NEXT:
                return value
            raise
        later = await self.block(state, handler)
        return value if later is NEXT else later

    async def do_guard(self, state, tag, *body):
        try:
            return await self.block(state, body)
        finally:
            self.event(state, "dropped", tag)

    def flag_due_at_once(self, ms):
        if asyncio.current_task()._must_cancel and ms is not None and int(ms) == 0:
            self.flag("TO-21")

    async def do_timeout(self, state, ms, body, handler=None):
        task = asyncio.current_task()
        self.flag_came_round(state)
        self.flag_due_at_once(ms)
        scope = asyncio.timeout(int(ms))
        state.scopes.append((scope, task.cancelling()))
        try:
            async with scope:
                return await self.block(state, body)
        except TimeoutError:
            # An inner scope's is an E by now: this is our own.
            self.event(state, "timeout")
        finally:
            self.flag_came_round(state)
            state.scopes.pop()
        if handler is None:
            raise E("timeout")
        return await self.block(state, handler)

    async def do_reschedule(self, state, ms=None):
        for scope, _ in reversed(state.scopes):
            if isinstance(scope, asyncio.Timeout):
                if not scope.expired():
                    self.flag_due_at_once(ms)
                    scope.reschedule(None if ms is None else self.now() + int(ms))
                self.event(state, "rescheduled", yes(not scope.expired()))
                return

    async def do_group(self, state, name, body, handler=None):
        task = asyncio.current_task()
        self.flag_came_round(state)
        entry = task.cancelling()
        group = asyncio.TaskGroup()
        group._tasks = OrderedSet(self.rng)
        self.groups[name] = group
        state.scopes.append((group, entry))
        try:
            async with group:
                return await self.block(state, body)
        except ERRORS as error:
            self.flag_failed_group(task, entry)
            # Made pending again by the group.
            state.again = state.again or task._must_cancel
            self.event(state, "group", error_text(error))
            if handler is None:
                raise
        finally:
            self.flag_came_round(state)
            state.scopes.pop()
        return await self.block(state, handler)

    def flag_failed_group(self, task, entry):
        if entry > 0:
            self.flag("TG-29")
        if OLD and task.cancelling() != 0:
            self.flag("old:TG-24")

    async def do_promise(self, state, name):
        self.promises[name] = self.loop.create_future()
        self.register(name, self.promises[name])

    async def do_set(self, state, name, value):
        promise = self.promises.pop(name, None)
        if promise is None:
            self.event(state, "set", name, "unknown")
            return
        refused = promise.done()
        if not refused:
            promise.set_result(int(value))
        self.event(state, "set", name, yes(not refused))


RETURN_WHEN = {
    "all": asyncio.ALL_COMPLETED,
    "first": asyncio.FIRST_COMPLETED,
    "error": asyncio.FIRST_EXCEPTION,
}


def yes(flag):
    return "yes" if flag else "no"


def fired(scope):
    """Whether a scope has made its own request."""
    if isinstance(scope, asyncio.Timeout):
        return scope.expired()
    return scope._parent_cancel_requested


def message_of(error):
    return error.args[0] if error.args and error.args[0] is not None else "-"


def result_text(value):
    if isinstance(value, asyncio.CancelledError):
        return "cancelled"
    return error_text(value) if isinstance(value, Exception) else value


def has_step(task):
    """Whether a task is about to take a step, and not because it was cancelled."""
    waiter = task._fut_waiter
    return not task._must_cancel and (waiter is None or (waiter.done() and not waiter.cancelled()))


def is_ready(task):
    """Whether a task, or one that it waits for, takes a step at this instant."""
    if task.done():
        return False
    if not isinstance(task, asyncio.Task):
        return any(map(is_ready, getattr(task, "_children", ())))
    return has_step(task) or (task._fut_waiter is not None and is_ready(task._fut_waiter))


def has_failed(task):
    """Whether a task has ended otherwise than with a value."""
    return task.done() and (task.cancelled() or task.exception() is not None)


def was_asked(task, now):
    """Whether a request came to the task at this instant."""
    return isinstance(task, CountedTask) and not task.done() and task.last is not None and task.last[0] == now


def count_of(task):
    return task.cancelling() if isinstance(task, asyncio.Task) else 0


# --- answering ---------------------------------------------------------------


def run_once(program, schedule):
    run = Run(schedule)
    run.execute(program)
    return run


def answer(line):
    shuffles, text = line.split(" ", 1)
    program = parse(text)
    first = run_once(program, None)
    flags, trace = set(first.flags), first.trace()
    for seed in [None, *range(int(shuffles))] if int(shuffles) else []:
        other = run_once(program, Schedule(seed))
        flags |= other.flags
        if other.trace() != trace:
            flags.add("unstable")
            break
    return show(["result", ["flags", *sorted(flags)], *trace, ["order", *first.order]])


def main():
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(10_000)
    for line in sys.stdin:
        try:
            reply = answer(line.strip())
        except Exception as error:
            reply = show(["broken", error_text(error)])
        print(reply, flush=True)


if __name__ == "__main__":
    main()
