//! Pictures as text: the tree and the table.

use super::graph::{Await, Awaits, CallGraph, TaskReport, TaskState};
use super::stack::{StackFrame, TaskStack};
use crate::task::TaskId;
use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write};

/// How deep a tree goes before it is continued at the margin: deeper ones are hard to read, and would grow with the square of their depth.
const DEEPEST: usize = 40;

/// The innermost frames by the places that they lead to.
#[derive(Default)]
struct Frames<'a> {
    /// In the order in which they came.
    below: Vec<(StackFrame, Frames<'a>)>,
    /// What is awaited right here.
    awaits: Vec<&'a Await>,
}

impl<'a> Frames<'a> {
    fn of(awaits: &'a [Await], cache: &mut Resolved) -> Self {
        let mut root = Self::default();
        for place in awaits {
            let mut here = &mut root;
            // Outermost first.
            for frame in cache.frames(place).into_iter().rev() {
                let known = here.below.iter().position(|(known, _)| *known == frame);
                let at = known.unwrap_or_else(|| {
                    here.below.push((frame, Frames::default()));
                    here.below.len() - 1
                });
                here = &mut here.below[at].1;
            }
            here.awaits.push(place);
        }
        root
    }
}

/// Frames that were looked up already: many tasks have the same stack.
#[derive(Default)]
struct Resolved(HashMap<(Vec<usize>, usize), Vec<StackFrame>>);

impl Resolved {
    fn frames(&mut self, place: &Await) -> Vec<StackFrame> {
        let key = (place.addresses().to_vec(), place.limit);
        self.0.entry(key).or_insert_with(|| place.frames()).clone()
    }
}

/// Lines of a tree: what stands before each, and the branches.
struct Tree<'g> {
    graph: &'g CallGraph,
    text: String,
    resolved: Resolved,
    /// Tasks that were shown with all that is below them.
    shown: HashSet<TaskId>,
    /// Tasks that are being shown: one that comes again below itself closes a cycle.
    open: Vec<TaskId>,
    /// What is continued at the margin.
    later: Vec<TaskId>,
}

/// A line with what is below it.
enum Item<'a> {
    Frame(&'a StackFrame, &'a Frames<'a>),
    Await(&'a Await),
    Task(TaskId),
}

impl<'g> Tree<'g> {
    fn new(graph: &'g CallGraph) -> Self {
        Self {
            graph,
            text: String::new(),
            resolved: Resolved::default(),
            shown: HashSet::new(),
            open: Vec::new(),
            later: Vec::new(),
        }
    }

    fn line(&mut self, prefix: &str, is_last: bool, what: impl fmt::Display) {
        let branch = if is_last { "└── " } else { "├── " };
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{prefix}{branch}{what}");
    }

    /// A task and what it awaits.
    fn task(&mut self, id: TaskId, prefix: &str, is_last: bool) {
        let Some(task) = self.graph.get(id) else {
            return self.line(prefix, is_last, format_args!("task {id}, which has ended or is another runtime's"));
        };
        if self.open.contains(&id) {
            return self.line(prefix, is_last, format_args!("{} (a cycle)", name(task)));
        }
        if self.shown.contains(&id) && !task.awaits.is_empty() {
            return self.line(prefix, is_last, format_args!("{} (see above)", name(task)));
        }
        if self.open.len() >= DEEPEST {
            self.later.push(id);
            return self.line(prefix, is_last, format_args!("{} (see below)", name(task)));
        }
        self.line(prefix, is_last, headline(task));
        self.shown.insert(id);
        self.open.push(id);
        let frames = Frames::of(&task.awaits, &mut self.resolved);
        self.frames(&frames, &below(prefix, is_last));
        self.open.pop();
    }

    fn frames(&mut self, frames: &Frames<'_>, prefix: &str) {
        let calls = frames.below.iter().map(|(frame, below)| Item::Frame(frame, below));
        let mut items: Vec<Item<'_>> = calls.collect();
        for place in &frames.awaits {
            // What is known from outside only is the task alone, without a line for the await.
            match &place.what {
                Awaits::Task(task) if place.addresses().is_empty() && place.via.is_none() => {
                    items.push(Item::Task(*task))
                }
                _ => items.push(Item::Await(place)),
            }
        }
        let count = items.len();
        for (place, item) in items.into_iter().enumerate() {
            let is_last = place + 1 == count;
            match item {
                Item::Frame(frame, inner) => {
                    self.line(prefix, is_last, frame);
                    self.frames(inner, &below(prefix, is_last));
                }
                Item::Await(place) => self.awaited(place, prefix, is_last),
                Item::Task(task) => self.task(task, prefix, is_last),
            }
        }
    }

    fn awaited(&mut self, place: &Await, prefix: &str, is_last: bool) {
        match place.via {
            Some(via) => self.line(prefix, is_last, format_args!("{via}: {}", place.what)),
            None => self.line(prefix, is_last, &place.what),
        }
        let tasks = place.tasks();
        for (at, task) in tasks.iter().enumerate() {
            self.task(*task, &below(prefix, is_last), at + 1 == tasks.len());
        }
    }
}

fn below(prefix: &str, is_last: bool) -> String {
    format!("{prefix}{}", if is_last { "    " } else { "│   " })
}

fn name(task: &TaskReport) -> String {
    full_name(task.id, &task.name)
}

fn full_name(id: TaskId, name: &str) -> String {
    let usual = format!("Task-{id}");
    if name == usual { usual } else { format!("{usual} '{name}'") }
}

fn headline(task: &TaskReport) -> String {
    let mut text = format!("{}: {}", name(task), state(task));
    if let Some(polls) = task.polls {
        let _ = write!(text, ", {polls} polls");
    }
    let _ = write!(text, ", created at {}", task.location);
    if let Some(parent) = task.parent {
        let _ = write!(text, " by Task-{parent}");
    }
    if task.is_exact && task.awaits.is_empty() && matches!(task.state, TaskState::Suspended { .. }) {
        text.push_str(", waits for something that has no waker of it and cannot wake it");
    }
    text
}

fn state(task: &TaskReport) -> String {
    match task.cancelling {
        0 => task.state.to_string(),
        _ => format!("{}, cancelling", task.state),
    }
}

pub(super) fn stack(stack: &TaskStack) -> String {
    let graph = CallGraph::empty();
    let mut tree = Tree::new(&graph);
    let name = full_name(stack.id, &stack.name);
    let _ = writeln!(tree.text, "{name}: {}, created at {}", stack.state, stack.location);
    let frames = Frames::of(&stack.awaits, &mut tree.resolved);
    tree.frames_alone(&frames, "");
    tree.text
}

impl Tree<'_> {
    /// As `frames`, without the tasks that are awaited.
    fn frames_alone(&mut self, frames: &Frames<'_>, prefix: &str) {
        let count = frames.below.len() + frames.awaits.len();
        for (place, (frame, inner)) in frames.below.iter().enumerate() {
            self.line(prefix, place + 1 == count, frame);
            self.frames_alone(inner, &below(prefix, place + 1 == count));
        }
        for (place, awaited) in frames.awaits.iter().enumerate() {
            let is_last = frames.below.len() + place + 1 == count;
            match awaited.via {
                Some(via) => self.line(prefix, is_last, format_args!("{via}: {}", awaited.what)),
                None => self.line(prefix, is_last, &awaited.what),
            }
        }
    }
}

impl fmt::Display for CallGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} tasks{}", self.tasks().len(), workers(self))?;
        for cycle in self.cycles() {
            let names: Vec<String> = cycle.iter().chain(cycle.first()).map(|id| self.name_of(*id)).collect();
            writeln!(f, "cycle: {}", names.join(" awaits "))?;
        }
        let mut tree = Tree::new(self);
        let roots: Vec<TaskId> = self.roots().map(|task| task.id).collect();
        let mut next: Vec<TaskId> = roots.into_iter().rev().collect();
        // What no root leads to is in a cycle, or below one.
        let mut rest = self.tasks().iter().map(|task| task.id);
        loop {
            let root = next.pop().or_else(|| tree.later.pop());
            let Some(id) = root.or_else(|| rest.find(|id| !tree.shown.contains(id))) else { break };
            tree.task(id, "", true);
            f.write_str(&std::mem::take(&mut tree.text))?;
        }
        Ok(())
    }
}

fn workers(graph: &CallGraph) -> String {
    let workers = graph.workers();
    if workers.is_empty() {
        return String::new();
    }
    let asleep = workers.iter().filter(|worker| worker.asleep).count();
    let mut text = format!(", {} workers, {asleep} of them asleep", workers.len());
    for worker in workers.iter().filter(|worker| worker.moves == Some(false)) {
        let _ = write!(text, "; worker {} is stuck in one poll", worker.index);
    }
    text
}

impl CallGraph {
    fn name_of(&self, id: TaskId) -> String {
        self.get(id).map_or_else(|| format!("Task-{id}"), name)
    }
}

/// The table of [`CallGraph::table`].
struct Table(Vec<[String; 6]>);

pub(super) fn table(graph: &CallGraph) -> impl fmt::Display + use<> {
    let mut rows = vec![["task", "name", "state", "awaits", "awaited by", "created at"].map(String::from)];
    for task in graph.tasks() {
        let mut state = state(task);
        if let Some(polls) = task.polls {
            let _ = write!(state, ", {polls} polls");
        }
        rows.push([
            task.id.to_string(),
            task.name.clone(),
            state,
            list(task.awaits.iter().flat_map(|place| brief(graph, place))),
            list(task.awaited_by.iter().map(|id| graph.name_in_table(*id))),
            task.location.to_string(),
        ]);
    }
    Table(rows)
}

/// How many names a cell of the table holds.
const NAMES: usize = 5;

fn list(names: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = names.collect();
    if all.is_empty() {
        return String::from("-");
    }
    let more = all.len().saturating_sub(NAMES);
    all.truncate(NAMES);
    let list = all.join(", ");
    if more == 0 { list } else { format!("{list}, and {more} more") }
}

/// What is awaited, in a few words.
fn brief(graph: &CallGraph, place: &Await) -> Vec<String> {
    match &place.what {
        Awaits::Task(task) => vec![graph.name_in_table(*task)],
        Awaits::Tasks(tasks) => tasks.iter().map(|task| graph.name_in_table(*task)).collect(),
        Awaits::Promise { location, .. } => vec![format!("promise of {location}")],
        Awaits::Thread { location, .. } => vec![format!("thread of {location}")],
        Awaits::Timer { after: Some(after), .. } => vec![format!("timer in {after:.1?}")],
        Awaits::Timer { .. } => vec![String::from("for ever")],
        Awaits::Yield => vec![String::from("its turn")],
        Awaits::Foreign => vec![String::from("foreign future")],
        Awaits::Here => Vec::new(),
    }
}

impl CallGraph {
    fn name_in_table(&self, id: TaskId) -> String {
        self.get(id).map_or_else(|| format!("Task-{id}"), |task| task.name.clone())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = [0; 6];
        for row in &self.0 {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.0 {
            let mut line = String::new();
            for (width, cell) in widths.iter().zip(row) {
                write!(line, "{cell:<width$}  ")?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Tarjan's strongly connected components, without recursion: a chain of awaits may be long.
pub(super) fn cycles(graph: &CallGraph) -> Vec<Vec<TaskId>> {
    let next: Vec<Vec<usize>> = graph
        .tasks()
        .iter()
        .map(|task| task.awaits.iter().flat_map(Await::tasks).filter_map(|id| graph.place(*id)).collect())
        .collect();
    let mut walk = Components::new(next.len());
    (0..next.len()).for_each(|start| walk.from(start, &next));
    let mut cycles: Vec<Vec<TaskId>> = walk
        .found
        .iter()
        .filter_map(|component| cycle_in(component, &next))
        .map(|cycle| cycle.into_iter().map(|place| graph.tasks()[place].id).collect())
        .collect();
    cycles.sort_unstable();
    cycles
}

struct Components {
    /// When each place was met; 0 for not yet.
    met: Vec<usize>,
    /// The earliest that each place leads back to.
    low: Vec<usize>,
    on_stack: Vec<bool>,
    stack: Vec<usize>,
    time: usize,
    found: Vec<Vec<usize>>,
}

impl Components {
    fn new(places: usize) -> Self {
        Self {
            met: vec![0; places],
            low: vec![0; places],
            on_stack: vec![false; places],
            stack: Vec::new(),
            time: 0,
            found: Vec::new(),
        }
    }

    fn meet(&mut self, place: usize) {
        self.time += 1;
        self.met[place] = self.time;
        self.low[place] = self.time;
        self.on_stack[place] = true;
        self.stack.push(place);
    }

    fn from(&mut self, start: usize, next: &[Vec<usize>]) {
        if self.met[start] != 0 {
            return;
        }
        self.meet(start);
        // Places on the way, and how many of the next ones were looked at.
        let mut way = vec![(start, 0)];
        while let Some((place, looked)) = way.last_mut() {
            let place = *place;
            match next[place].get(*looked) {
                Some(&other) => {
                    *looked += 1;
                    if self.met[other] == 0 {
                        self.meet(other);
                        way.push((other, 0));
                    } else if self.on_stack[other] {
                        self.low[place] = self.low[place].min(self.met[other]);
                    }
                }
                None => {
                    way.pop();
                    if let Some((before, _)) = way.last() {
                        self.low[*before] = self.low[*before].min(self.low[place]);
                    }
                    self.leave(place);
                }
            }
        }
    }

    /// All that a place leads to has been seen.
    fn leave(&mut self, place: usize) {
        if self.low[place] != self.met[place] {
            return;
        }
        let start = self.stack.iter().rposition(|other| *other == place).unwrap_or(0);
        let component = self.stack.split_off(start);
        component.iter().for_each(|other| self.on_stack[*other] = false);
        self.found.push(component);
    }
}

/// A shortest way from the oldest task of a component back to it; none if it is a single task that does not await itself.
fn cycle_in(component: &[usize], next: &[Vec<usize>]) -> Option<Vec<usize>> {
    let start = *component.iter().min()?;
    let inside: HashSet<usize> = component.iter().copied().collect();
    let mut came_from = HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(place) = queue.pop_front() {
        for other in next[place].iter().filter(|other| inside.contains(other)) {
            if *other == start {
                let mut cycle = vec![place];
                while let Some(before) =
                    came_from.get(cycle.last()?).filter(|_| *cycle.last().unwrap_or(&start) != start)
                {
                    cycle.push(*before);
                }
                cycle.reverse();
                return Some(cycle);
            }
            came_from.entry(*other).or_insert_with(|| {
                queue.push_back(*other);
                place
            });
        }
    }
    None
}
