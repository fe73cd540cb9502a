//! The language of the random programs: what a program can say, and its text form.
//!
//! A program is an s-expression, `(program drain STATEMENT...)`. The statements are the body of the
//! task `m`. With `drain` the run ends when every task has ended by itself, with `sweep` when `m`
//! has: what is left is then cancelled, as `asyncio.run` does. Times are whole virtual milliseconds.
//!
//! A body ends with `return`, with `raise`, or by falling off its end, which returns 0. Names are
//! looked up when a statement runs: one that is not there yet is reported as an event, never an error.
//! The result of a task is there once: the first statement that asks for it takes it, the next ones
//! find it `untaken`. Blocks are lists of statements in parentheses of their own.
//!
//! | statement | what it does |
//! |---|---|
//! | `(log a)` `(count)` | notes an event; notes `cancelling()` |
//! | `(sleep 5)` `(yield)` | sleeps 5 ms; gives way once |
//! | `(spawn t1 S...)` | creates the task `t1` |
//! | `(spawn-in g1 t1 S...)` | the same in the task group `g1` |
//! | `(cancel t1)` `(cancel t1 why)` | requests cancellation, with a message |
//! | `(cancel-later 5 t1)` | the same from a timer of the loop |
//! | `(uncancel)` | takes one request to the running task back |
//! | `(await t1)` `(shield t1)` `(wait-for 5 t1)` | awaits; errors and cancellation go on |
//! | `(join t1)` | waits for the end of `t1`, which keeps its result |
//! | `(gather first (t1 (t2 S...)))` | gathers tasks, old and new; `all` is `return_exceptions` |
//! | `(wait all (t1 t2) 5)` | waits for `all`, the `first` or the first `error`; the limit is optional |
//! | `(as-completed (t1 t2) 5)` | notes the tasks in the order in which they end; the limit is optional |
//! | `(catch swallow (S...) (S...))` | runs the second block when the first is cancelled, then goes on or is a `reraise` |
//! | `(try (S...) (S...))` | runs the second block when the first fails |
//! | `(finally (S...) (S...))` | runs the second block in any case |
//! | `(guard a S...)` | notes when the statements are left, in whichever way |
//! | `(timeout 5 (S...) (S...))` | the second block runs after a timeout; without it the timeout is an error |
//! | `(reschedule 5)` `(reschedule)` | moves the innermost deadline to 5 ms from now, or to never |
//! | `(group g1 (S...) (S...))` | a task group; the second block runs when it fails, without it the error goes on |
//! | `(promise p1)` `(set p1 5)` | makes a promise, whose task is called `p1` too; fulfils it |
//! | `(raise a)` `(return 5)` | ends the task's body |

use std::fmt;

/// The text form: an atom or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sexp {
    Atom(String),
    List(Vec<Sexp>),
}

/// What `m` leaves behind when it ends is waited for, or cancelled first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Drain,
    Sweep,
}

/// What a `catch` does after its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Swallow,
    Reraise,
}

/// How `gather` treats failures: the first one at once, or all results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failures {
    First,
    All,
}

/// What ends a `wait`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    All,
    First,
    Error,
}

/// A member of a `gather`: a task that is there, or a body that becomes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    Task(String),
    New(String, Block),
}

pub(crate) type Block = Vec<Statement>;

/// One statement; the module's table says what each does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    Log(String),
    Count,
    Sleep(u64),
    Yield,
    Spawn(String, Block),
    SpawnIn(String, String, Block),
    Cancel(String, Option<String>),
    CancelLater(u64, String),
    Uncancel,
    Await(String),
    Shield(String),
    WaitFor(u64, String),
    Join(String),
    Gather(Failures, Vec<Member>),
    Wait(Until, Vec<String>, Option<u64>),
    AsCompleted(Vec<String>, Option<u64>),
    Catch(Then, Block, Block),
    Try(Block, Block),
    Finally(Block, Block),
    Guard(String, Block),
    Timeout(u64, Block, Option<Block>),
    Reschedule(Option<u64>),
    Group(String, Block, Option<Block>),
    Promise(String),
    Set(String, i64),
    Raise(String),
    Return(i64),
}

/// A whole program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) mode: Mode,
    pub(crate) body: Block,
}

impl Program {
    /// The program written as `text`, or what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::from_sexp(&Sexp::parse(text)?)
    }

    /// The program whose text form is `form`.
    pub(crate) fn from_sexp(form: &Sexp) -> Result<Self, String> {
        match form.list()? {
            [head, mode, body @ ..] if head.is("program") => Ok(Self {
                mode: mode.keyword(&[("drain", Mode::Drain), ("sweep", Mode::Sweep)])?,
                body: statements(body)?,
            }),
            _ => Err(format!("not a program: {form}")),
        }
    }

    /// The text form.
    pub(crate) fn to_sexp(&self) -> Sexp {
        let mode = match self.mode {
            Mode::Drain => "drain",
            Mode::Sweep => "sweep",
        };
        list([atom("program"), atom(mode)], &self.body)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_sexp().fmt(f)
    }
}

impl Sexp {
    /// Reads one s-expression.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let mut open = vec![Vec::new()];
        for token in spaced.split_whitespace() {
            match token {
                "(" => open.push(Vec::new()),
                ")" => {
                    let done = open.pop().unwrap_or_default();
                    let outer = open.last_mut().ok_or("a parenthesis too many")?;
                    outer.push(Self::List(done));
                }
                _ => open.last_mut().ok_or("nothing open")?.push(atom(token)),
            }
        }
        let mut forms = open.pop().unwrap_or_default();
        match (open.len(), forms.len()) {
            (0, 1) => Ok(forms.remove(0)),
            _ => Err(format!("not one s-expression: {text}")),
        }
    }

    /// The elements of a list.
    pub(crate) fn list(&self) -> Result<&[Self], String> {
        match self {
            Self::List(items) => Ok(items),
            Self::Atom(word) => Err(format!("a list was expected, not {word}")),
        }
    }

    /// The text of an atom.
    pub(crate) fn word(&self) -> Result<&str, String> {
        match self {
            Self::Atom(word) => Ok(word),
            Self::List(_) => Err(format!("a word was expected, not {self}")),
        }
    }

    /// Whether this is the atom `word`.
    pub(crate) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Atom(own) if own == word)
    }

    /// The number an atom spells.
    pub(crate) fn number<N: std::str::FromStr>(&self) -> Result<N, String> {
        self.word()?.parse().map_err(|_| format!("not a number: {self}"))
    }

    /// The value that stands for this keyword.
    fn keyword<T: Copy>(&self, table: &[(&str, T)]) -> Result<T, String> {
        let found = table.iter().find(|(word, _)| self.is(word));
        found.map(|(_, value)| *value).ok_or_else(|| format!("unknown keyword {self}"))
    }

    /// A name: any word that is not a number.
    fn name(&self) -> Result<String, String> {
        let word = self.word()?;
        match word.parse::<i64>() {
            Ok(_) => Err(format!("a name was expected, not {word}")),
            Err(_) => Ok(word.to_owned()),
        }
    }
}

impl fmt::Display for Sexp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Atom(word) => f.write_str(word),
            Self::List(items) => {
                f.write_str("(")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { " " })?;
                }
                f.write_str(")")
            }
        }
    }
}

/// An atom of what `word` displays.
pub(crate) fn atom(word: impl fmt::Display) -> Sexp {
    Sexp::Atom(word.to_string())
}

fn statements(forms: &[Sexp]) -> Result<Block, String> {
    forms.iter().map(Statement::from_sexp).collect()
}

fn block(form: &Sexp) -> Result<Block, String> {
    statements(form.list()?)
}

fn names(form: &Sexp) -> Result<Vec<String>, String> {
    form.list()?.iter().map(Sexp::name).collect()
}

/// The single element of what may be left out.
fn optional<T>(rest: &[Sexp], read: impl Fn(&Sexp) -> Result<T, String>) -> Result<Option<T>, String> {
    match rest {
        [] => Ok(None),
        [form] => read(form).map(Some),
        _ => Err("too many arguments".to_owned()),
    }
}

const THEN: [(&str, Then); 2] = [("swallow", Then::Swallow), ("reraise", Then::Reraise)];
const FAILURES: [(&str, Failures); 2] = [("first", Failures::First), ("all", Failures::All)];
const UNTIL: [(&str, Until); 3] = [("all", Until::All), ("first", Until::First), ("error", Until::Error)];

impl Statement {
    fn from_sexp(form: &Sexp) -> Result<Self, String> {
        let (head, args) = form.list()?.split_first().ok_or("an empty statement")?;
        Self::simple(head.word()?, args)
            .or_else(|| Self::compound(head.word().unwrap_or_default(), args))
            .unwrap_or_else(|| Err(format!("not a statement: {form}")))
    }

    /// Reads a statement without a block; `None` if it is none of those.
    fn simple(head: &str, args: &[Sexp]) -> Option<Result<Self, String>> {
        Some(match (head, args) {
            ("log", [tag]) => tag.name().map(Self::Log),
            ("count", []) => Ok(Self::Count),
            ("sleep", [ms]) => ms.number().map(Self::Sleep),
            ("yield", []) => Ok(Self::Yield),
            ("cancel", [task, rest @ ..]) => {
                task.name().and_then(|task| Ok(Self::Cancel(task, optional(rest, Sexp::name)?)))
            }
            ("cancel-later", [ms, task]) => pair(ms.number(), task.name(), Self::CancelLater),
            ("uncancel", []) => Ok(Self::Uncancel),
            ("await", [task]) => task.name().map(Self::Await),
            ("shield", [task]) => task.name().map(Self::Shield),
            ("wait-for", [ms, task]) => pair(ms.number(), task.name(), Self::WaitFor),
            ("join", [task]) => task.name().map(Self::Join),
            ("wait", [until, tasks, rest @ ..]) => until
                .keyword(&UNTIL)
                .and_then(|until| Ok(Self::Wait(until, names(tasks)?, optional(rest, Sexp::number)?))),
            ("as-completed", [tasks, rest @ ..]) => pair(names(tasks), optional(rest, Sexp::number), Self::AsCompleted),
            ("reschedule", rest) => optional(rest, Sexp::number).map(Self::Reschedule),
            ("promise", [name]) => name.name().map(Self::Promise),
            ("set", [name, value]) => pair(name.name(), value.number(), Self::Set),
            ("raise", [tag]) => tag.name().map(Self::Raise),
            ("return", [value]) => value.number().map(Self::Return),
            _ => return None,
        })
    }

    /// Reads a statement with blocks; `None` if it is none of those.
    fn compound(head: &str, args: &[Sexp]) -> Option<Result<Self, String>> {
        Some(match (head, args) {
            ("spawn", [name, body @ ..]) => pair(name.name(), statements(body), Self::Spawn),
            ("spawn-in", [group, name, body @ ..]) => {
                group.name().and_then(|group| Ok(Self::SpawnIn(group, name.name()?, statements(body)?)))
            }
            ("gather", [failures, members]) => failures.keyword(&FAILURES).and_then(|failures| {
                let members = members.list()?.iter().map(Member::from_sexp);
                Ok(Self::Gather(failures, members.collect::<Result<_, _>>()?))
            }),
            ("catch", [then, body, handler]) => {
                then.keyword(&THEN).and_then(|then| Ok(Self::Catch(then, block(body)?, block(handler)?)))
            }
            ("try", [body, handler]) => pair(block(body), block(handler), Self::Try),
            ("finally", [body, handler]) => pair(block(body), block(handler), Self::Finally),
            ("guard", [tag, body @ ..]) => pair(tag.name(), statements(body), Self::Guard),
            ("timeout", [ms, body, rest @ ..]) => {
                ms.number().and_then(|ms| Ok(Self::Timeout(ms, block(body)?, optional(rest, block)?)))
            }
            ("group", [name, body, rest @ ..]) => {
                name.name().and_then(|name| Ok(Self::Group(name, block(body)?, optional(rest, block)?)))
            }
            _ => return None,
        })
    }

    fn to_sexp(&self) -> Sexp {
        match self {
            Self::Log(tag) => line("log", [atom(tag)]),
            Self::Count => line("count", []),
            Self::Sleep(ms) => line("sleep", [atom(ms)]),
            Self::Yield => line("yield", []),
            Self::Spawn(name, body) => list([atom("spawn"), atom(name)], body),
            Self::SpawnIn(group, name, body) => list([atom("spawn-in"), atom(group), atom(name)], body),
            Self::Cancel(task, None) => line("cancel", [atom(task)]),
            Self::Cancel(task, Some(why)) => line("cancel", [atom(task), atom(why)]),
            Self::CancelLater(ms, task) => line("cancel-later", [atom(ms), atom(task)]),
            Self::Uncancel => line("uncancel", []),
            Self::Await(task) => line("await", [atom(task)]),
            Self::Shield(task) => line("shield", [atom(task)]),
            Self::WaitFor(ms, task) => line("wait-for", [atom(ms), atom(task)]),
            Self::Join(task) => line("join", [atom(task)]),
            Self::Promise(name) => line("promise", [atom(name)]),
            Self::Set(name, value) => line("set", [atom(name), atom(value)]),
            Self::Raise(tag) => line("raise", [atom(tag)]),
            Self::Return(value) => line("return", [atom(value)]),
            Self::Reschedule(ms) => line("reschedule", ms.map(atom)),
            Self::Guard(tag, body) => list([atom("guard"), atom(tag)], body),
            _ => self.blocks_to_sexp(),
        }
    }

    /// The text of the statements with lists in them.
    fn blocks_to_sexp(&self) -> Sexp {
        match self {
            Self::Gather(failures, members) => {
                let members = members.iter().map(Member::to_sexp).collect();
                let word = spelled(&FAILURES, failures);
                line("gather", [word, Sexp::List(members)])
            }
            Self::Wait(until, tasks, ms) => {
                let parts = [spelled(&UNTIL, until), words(tasks)];
                line("wait", parts.into_iter().chain(ms.map(atom)))
            }
            Self::AsCompleted(tasks, ms) => line("as-completed", [words(tasks)].into_iter().chain(ms.map(atom))),
            Self::Catch(then, body, handler) => line("catch", [spelled(&THEN, then), braced(body), braced(handler)]),
            Self::Try(body, handler) => line("try", [braced(body), braced(handler)]),
            Self::Finally(body, handler) => line("finally", [braced(body), braced(handler)]),
            Self::Timeout(ms, body, handler) => {
                let parts = [atom(ms), braced(body)];
                line("timeout", parts.into_iter().chain(handler.as_ref().map(braced)))
            }
            Self::Group(name, body, handler) => {
                let parts = [atom(name), braced(body)];
                line("group", parts.into_iter().chain(handler.as_ref().map(braced)))
            }
            other => unreachable!("{other:?} has a text of its own"),
        }
    }
}

impl Member {
    fn from_sexp(form: &Sexp) -> Result<Self, String> {
        match form {
            Sexp::Atom(_) => form.name().map(Self::Task),
            Sexp::List(items) => {
                let (name, body) = items.split_first().ok_or("an empty member")?;
                pair(name.name(), statements(body), Self::New)
            }
        }
    }

    fn to_sexp(&self) -> Sexp {
        match self {
            Self::Task(name) => atom(name),
            Self::New(name, body) => list([atom(name)], body),
        }
    }
}

/// Both parts put together, or the first thing that is wrong.
fn pair<A, B, T>(a: Result<A, String>, b: Result<B, String>, make: impl Fn(A, B) -> T) -> Result<T, String> {
    Ok(make(a?, b?))
}

/// `(head rest...)`.
fn line(head: &str, rest: impl IntoIterator<Item = Sexp>) -> Sexp {
    Sexp::List([atom(head)].into_iter().chain(rest).collect())
}

/// `(head... statement...)`.
fn list(head: impl IntoIterator<Item = Sexp>, body: &Block) -> Sexp {
    let body = body.iter().map(Statement::to_sexp);
    Sexp::List(head.into_iter().chain(body).collect())
}

/// `(statement...)`.
fn braced(body: &Block) -> Sexp {
    list([], body)
}

fn words(names: &[String]) -> Sexp {
    Sexp::List(names.iter().map(atom).collect())
}

fn spelled<T: PartialEq>(table: &[(&str, T)], value: &T) -> Sexp {
    let found = table.iter().find(|(_, own)| own == value);
    atom(found.map_or("", |(word, _)| word))
}
