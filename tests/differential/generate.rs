//! Random programs from a seed.
//!
//! What keeps them meaningful: a task awaits only tasks whose text is complete before its statement, so
//! that no cycle of waiting tasks can arise (T-12 has tests of its own); names are used where they can
//! be in scope; every delay is drawn from a wide range, so that two deadlines of different tasks seldom
//! meet (interpret.py notices when they do).

use crate::program::{Block, Failures, Member, Mode, Program, Statement, Then, Until};

/// What kind of programs to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Everything, with deadlines apart.
    Mixed,
    /// Few tasks, and deadlines that meet within one task: which one wins is promised (TO-12 to TO-14).
    Tight,
    /// Only what makes tasks ready one by one: the order between tasks is promised (T-02, T-04, T-11).
    Order,
}

/// A small generator of random numbers (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `low` up to and without `high`.
    fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    /// True in `percent` of 100 cases.
    fn chance(&mut self, percent: u64) -> bool {
        self.range(0, 100) < percent
    }

    /// One of the choices.
    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.range(0, choices.len() as u64) as usize].clone()
    }
}

/// The program that belongs to a seed.
pub(crate) fn generate(seed: u64, profile: Profile) -> Program {
    let mut random = Random::new(seed);
    let budget = random.range(4, 26);
    let mode = match profile != Profile::Order && random.chance(25) {
        true => Mode::Sweep,
        false => Mode::Drain,
    };
    let favourites = [random.pick(&WEIGHTS).0, random.pick(&WEIGHTS).0];
    let mut writer = Writer {
        random,
        favourites,
        profile,
        budget,
        names: 0,
        around: Vec::new(),
        complete: Vec::new(),
        taken: Vec::new(),
        groups: Vec::new(),
    };
    let body = writer.task("m");
    Program { mode, body }
}

/// Where in a task a statement stands.
#[derive(Clone, Copy, Default)]
struct Place {
    /// How many blocks of the task are around.
    depth: u32,
    /// How many of them belong to timeouts and groups.
    scopes: u32,
    /// How many of them belong to timeouts.
    timeouts: u32,
    /// Whether the block runs because something was caught.
    handling: bool,
}

impl Place {
    fn inside(self) -> Self {
        Self { depth: self.depth + 1, handling: false, ..self }
    }

    fn handler(self) -> Self {
        Self { handling: true, ..self.inside() }
    }
}

/// The program as far as it is written.
struct Writer {
    random: Random,
    profile: Profile,
    /// Kinds that this program says often: programs so differ more than by chance alone.
    favourites: [Kind; 2],
    /// Statements that may still be written.
    budget: u64,
    /// How many names and numbers were given out.
    names: u64,
    /// The tasks around, outermost first; the last one runs the statement.
    around: Vec<String>,
    /// Tasks whose text is complete: these may be awaited.
    complete: Vec<String>,
    /// Those of which some statement already wants the result.
    taken: Vec<String>,
    /// The groups around, outermost first, also those of the tasks around.
    groups: Vec<String>,
}

/// The kinds of statements, for the choice between them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Log,
    Count,
    Sleep,
    Yield,
    Spawn,
    SpawnIn,
    Cancel,
    CancelLater,
    CancelSelf,
    Uncancel,
    Await,
    Shield,
    WaitFor,
    Join,
    Gather,
    Wait,
    AsCompleted,
    Catch,
    Try,
    Finally,
    Guard,
    Timeout,
    Reschedule,
    Group,
    Promise,
}

/// Weights of the kinds: mixed, tight, order.
const WEIGHTS: [(Kind, [u64; 3]); 25] = [
    (Kind::Log, [3, 3, 20]),
    (Kind::Count, [4, 4, 0]),
    (Kind::Sleep, [6, 12, 10]),
    (Kind::Yield, [2, 2, 30]),
    (Kind::Spawn, [14, 2, 22]),
    (Kind::SpawnIn, [14, 4, 0]),
    (Kind::Cancel, [11, 2, 0]),
    (Kind::CancelLater, [2, 6, 0]),
    (Kind::CancelSelf, [1, 3, 0]),
    (Kind::Uncancel, [3, 2, 0]),
    (Kind::Await, [11, 4, 16]),
    (Kind::Shield, [5, 1, 0]),
    (Kind::WaitFor, [4, 1, 0]),
    (Kind::Join, [3, 1, 0]),
    (Kind::Gather, [8, 1, 0]),
    (Kind::Wait, [5, 1, 0]),
    (Kind::AsCompleted, [5, 1, 0]),
    (Kind::Catch, [14, 10, 0]),
    (Kind::Try, [4, 2, 4]),
    (Kind::Finally, [7, 4, 2]),
    (Kind::Guard, [2, 2, 2]),
    (Kind::Timeout, [9, 24, 0]),
    (Kind::Reschedule, [3, 3, 0]),
    (Kind::Group, [9, 6, 0]),
    (Kind::Promise, [2, 1, 6]),
];

impl Writer {
    /// The body of a task.
    fn task(&mut self, name: &str) -> Block {
        self.around.push(name.to_owned());
        let mut body = self.block(Place::default());
        if !ends(&body) && self.random.chance(60) {
            body.push(Statement::Return(self.number()));
        }
        self.around.pop();
        self.complete.push(name.to_owned());
        body
    }

    fn block(&mut self, place: Place) -> Block {
        let longest = if place.depth == 0 { 8 } else { 4 };
        let mut body = Vec::new();
        for _ in 0..self.random.range(1, longest) {
            if self.budget == 0 && !body.is_empty() {
                break;
            }
            self.budget = self.budget.saturating_sub(1);
            let kind = self.kind(place);
            self.take_time(kind, place, &mut body);
            self.statement(kind, place, &mut body);
        }
        self.ending(place, &mut body);
        body
    }

    /// Sleeps before what would otherwise happen at the same instant as much else: a request for
    /// cancellation, the first thing a task or handler does.
    fn take_time(&mut self, kind: Kind, place: Place, body: &mut Block) {
        let percent = match kind {
            Kind::Cancel | Kind::CancelSelf => 70,
            Kind::Sleep | Kind::Timeout | Kind::Group => 0,
            Kind::Catch | Kind::Finally | Kind::Try => 10,
            _ if body.is_empty() && place.handling => 60,
            _ if body.is_empty() => 50,
            _ => 15,
        };
        if self.profile != Profile::Order && self.random.chance(percent) {
            body.push(Statement::Sleep(self.delay()));
        }
    }

    /// What a block ends with: sometimes a failure or a return, often something to be interrupted in.
    fn ending(&mut self, place: Place, body: &mut Block) {
        let percent = match place {
            Place { handling: true, .. } => 30,
            Place { depth: 0, .. } if self.around.len() > 1 => 18,
            _ => 9,
        };
        if self.random.chance(percent) {
            body.push(Statement::Raise(self.name("e")));
        } else if place.depth > 0 && self.random.chance(4) {
            body.push(Statement::Return(self.number()));
        } else if self.profile != Profile::Order && self.random.chance(50) {
            body.push(Statement::Sleep(self.delay()));
        }
    }

    /// Adds one statement, or a few that belong together.
    fn statement(&mut self, kind: Kind, place: Place, body: &mut Block) {
        let statement = match kind {
            Kind::Log => Statement::Log(self.name("l")),
            Kind::Count => Statement::Count,
            Kind::Sleep => Statement::Sleep(self.delay()),
            Kind::Yield => Statement::Yield,
            Kind::Uncancel => Statement::Uncancel,
            Kind::Reschedule => Statement::Reschedule(self.limit()),
            Kind::Promise => return self.promise(body),
            Kind::CancelSelf => Statement::Cancel(self.running(), None),
            Kind::Cancel => Statement::Cancel(self.victim(), self.message()),
            Kind::CancelLater => Statement::CancelLater(self.delay().max(10), self.victim()),
            Kind::Spawn => return self.spawn(body),
            Kind::SpawnIn => self.spawn_in(),
            Kind::Gather => self.gather(),
            Kind::Await => Statement::Await(self.result()),
            Kind::Shield => Statement::Shield(self.result()),
            Kind::WaitFor => Statement::WaitFor(self.delay(), self.result()),
            Kind::Join => Statement::Join(self.random.pick(&self.complete)),
            Kind::Wait => self.wait(),
            Kind::AsCompleted => Statement::AsCompleted(self.results(), self.limit()),
            kind => self.nested(kind, place),
        };
        body.push(statement);
    }

    /// A kind of statement that makes sense here.
    fn kind(&mut self, place: Place) -> Kind {
        let weights = WEIGHTS.map(|(kind, weights)| {
            let times = if self.favourites.contains(&kind) { 5 } else { 1 };
            (kind, times * weights[self.profile as usize])
        });
        let total = weights.iter().map(|(_, weight)| weight).sum();
        loop {
            let mut left = self.random.range(0, total);
            for (kind, weight) in weights {
                if left < weight {
                    if self.fits(kind, place) {
                        return kind;
                    }
                    break;
                }
                left -= weight;
            }
        }
    }

    fn fits(&mut self, kind: Kind, place: Place) -> bool {
        match kind {
            Kind::Spawn | Kind::Promise => self.budget > 0 && self.around.len() < 4,
            Kind::SpawnIn => !self.groups.is_empty() && self.around.len() < 4,
            Kind::Uncancel => place.scopes == 0 || self.random.chance(10),
            Kind::Await | Kind::Shield | Kind::WaitFor | Kind::Join => !self.complete.is_empty(),
            Kind::Wait | Kind::AsCompleted => !self.complete.is_empty(),
            Kind::Reschedule => place.timeouts > 0,
            Kind::Catch | Kind::Try | Kind::Finally => place.depth < 4 && self.budget > 0,
            Kind::Guard | Kind::Timeout | Kind::Group => place.depth < 4 && self.budget > 0,
            _ => true,
        }
    }

    /// A statement with blocks of the same task.
    fn nested(&mut self, kind: Kind, place: Place) -> Statement {
        match kind {
            Kind::Catch => {
                let then = self.random.pick(&[Then::Swallow, Then::Reraise]);
                let body = self.block(place.inside());
                Statement::Catch(then, body, self.block(place.handler()))
            }
            Kind::Try => {
                let body = self.block(place.inside());
                Statement::Try(body, self.block(place.handler()))
            }
            Kind::Finally => {
                let body = self.block(place.inside());
                Statement::Finally(body, self.block(place.handler()))
            }
            Kind::Timeout => self.timeout(place),
            Kind::Group => self.group(place),
            _ => Statement::Guard(self.name("d"), self.block(place.inside())),
        }
    }

    fn timeout(&mut self, place: Place) -> Statement {
        let ms = self.delay();
        let inside = Place { scopes: place.scopes + 1, timeouts: place.timeouts + 1, ..place.inside() };
        Statement::Timeout(ms, self.block(inside), self.handler(place))
    }

    /// A group whose body begins with a few children.
    fn group(&mut self, place: Place) -> Statement {
        let name = self.name("g");
        self.groups.push(name.clone());
        let inside = Place { scopes: place.scopes + 1, ..place.inside() };
        let mut body = Vec::new();
        if self.random.chance(30) {
            body.push(self.failing_child(&name));
        }
        for _ in 0..self.random.range(0, 3) {
            if self.around.len() < 4 {
                body.push(self.spawn_in());
            }
        }
        body.extend(self.block(inside));
        self.groups.pop();
        Statement::Group(name, body, self.handler(place))
    }

    /// A task of the group that lets it abort after a while.
    fn failing_child(&mut self, group: &str) -> Statement {
        let name = self.name("t");
        let body = vec![Statement::Sleep(self.delay()), Statement::Raise(self.name("e"))];
        self.complete.push(name.clone());
        Statement::SpawnIn(group.to_owned(), name, body)
    }

    fn handler(&mut self, place: Place) -> Option<Block> {
        let there = self.random.chance(65);
        there.then(|| self.block(place.handler()))
    }

    /// A new task, and often somebody who waits for it while it still runs.
    fn spawn(&mut self, body: &mut Block) {
        let name = self.name("t");
        let inner = self.task(&name);
        body.push(Statement::Spawn(name.clone(), inner));
        if self.profile == Profile::Order || self.random.chance(60) {
            return;
        }
        self.taken.push(name.clone());
        let waiting = [Kind::Await, Kind::Shield, Kind::WaitFor, Kind::Wait, Kind::Gather];
        body.push(match self.random.pick(&waiting) {
            Kind::Await => Statement::Await(name),
            Kind::Shield => Statement::Shield(name),
            Kind::WaitFor => Statement::WaitFor(self.delay(), name),
            Kind::Wait => Statement::Wait(Until::First, vec![name], self.limit()),
            _ => self.gather_with(vec![name]),
        });
    }

    fn spawn_in(&mut self) -> Statement {
        let innermost = self.groups[self.groups.len() - 1].clone();
        let group = match self.random.chance(85) {
            true => innermost,
            false => self.random.pick(&self.groups),
        };
        let name = self.name("t");
        let body = self.task(&name);
        Statement::SpawnIn(group, name, body)
    }

    /// A promise, and mostly a task that fulfils it.
    fn promise(&mut self, body: &mut Block) {
        let (name, helper) = (self.name("p"), self.name("t"));
        let value = self.number();
        body.push(Statement::Promise(name.clone()));
        let delay = Statement::Sleep(self.delay());
        let set = Statement::Set(name.clone(), value);
        body.push(Statement::Spawn(helper.clone(), vec![delay, set]));
        self.complete.extend([name, helper]);
    }

    fn gather(&mut self) -> Statement {
        let names = match self.complete.is_empty() || self.random.chance(30) {
            true => Vec::new(),
            false => self.results(),
        };
        self.gather_with(names)
    }

    /// A gather of these tasks and new ones.
    fn gather_with(&mut self, names: Vec<String>) -> Statement {
        let failures = self.random.pick(&[Failures::First, Failures::All]);
        let mut members: Vec<_> = names.into_iter().map(Member::Task).collect();
        for _ in 0..self.random.range(0, 4) {
            if self.around.len() < 4 {
                let name = self.name("t");
                let body = self.task(&name);
                self.taken.push(name.clone());
                members.push(Member::New(name, body));
            }
        }
        Statement::Gather(failures, members)
    }

    fn wait(&mut self) -> Statement {
        let until = self.random.pick(&[Until::All, Until::First, Until::Error]);
        let names = self.results();
        // The tasks keep their results.
        self.taken.retain(|name| !names.contains(name));
        Statement::Wait(until, names, self.limit())
    }

    /// A task that can be awaited, mostly one whose result is still to be had.
    fn result(&mut self) -> String {
        let fresh: Vec<_> = self.complete.iter().filter(|name| !self.taken.contains(name)).collect();
        let name = match fresh.is_empty() || self.random.chance(10) {
            true => self.random.pick(&self.complete),
            false => self.random.pick(&fresh).clone(),
        };
        self.taken.push(name.clone());
        name
    }

    /// A few different tasks of that kind.
    fn results(&mut self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for _ in 0..self.random.range(1, 5) {
            let name = self.result();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// The task that runs the statement.
    fn running(&self) -> String {
        self.around[self.around.len() - 1].clone()
    }

    /// A task to cancel: mostly one that was made before, sometimes one around.
    fn victim(&mut self) -> String {
        match self.complete.is_empty() || self.random.chance(20) {
            true => self.random.pick(&self.around),
            false => self.random.pick(&self.complete),
        }
    }

    fn message(&mut self) -> Option<String> {
        let there = self.random.chance(40);
        there.then(|| self.name("why"))
    }

    fn limit(&mut self) -> Option<u64> {
        let there = self.random.chance(60);
        there.then(|| self.delay())
    }

    fn delay(&mut self) -> u64 {
        match self.profile {
            Profile::Tight => self.random.pick(&[10, 10, 20, 20, 30, 0]),
            _ => {
                let longest = self.random.pick(&[300, 3_000, 10_000]);
                self.random.range(1, longest)
            }
        }
    }

    fn name(&mut self, letter: &str) -> String {
        format!("{letter}{}", self.number())
    }

    fn number(&mut self) -> i64 {
        self.names += 1;
        self.names as i64
    }
}

/// Whether nothing after the block would run.
fn ends(body: &Block) -> bool {
    matches!(body.last(), Some(Statement::Raise(_) | Statement::Return(_)))
}
