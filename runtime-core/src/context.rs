//! Context variables: values that follow a task, and the tasks it creates, like Python's `contextvars`.
//!
//! A context is an immutable, shared map; setting a variable makes a new map for the current context only. Creating
//! a task shares the map (one reference count, nothing at all while it is empty), which is the copy that asyncio makes.

use crate::current;
use crate::task::cell::Header;
use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// Declares [`ContextVar`]s, with or without a default.
///
/// # Examples
///
/// ```
/// runtime_core::context_var! {
///     /// Who the request is for.
///     pub static USER: String = String::from("nobody");
///     static DEPTH: u32;
/// }
///
/// assert_eq!(USER.get(), "nobody");
/// assert_eq!(DEPTH.try_get(), None);
/// DEPTH.set(3);
/// assert_eq!(DEPTH.get(), 3);
/// ```
#[macro_export]
macro_rules! context_var {
    () => {};
    ($(#[$attr:meta])* $vis:vis static $name:ident: $ty:ty = $default:expr; $($rest:tt)*) => {
        $(#[$attr])* $vis static $name: $crate::ContextVar<$ty> =
            $crate::ContextVar::with_default(stringify!($name), || $default);
        $crate::context_var! { $($rest)* }
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident: $ty:ty; $($rest:tt)*) => {
        $(#[$attr])* $vis static $name: $crate::ContextVar<$ty> = $crate::ContextVar::new(stringify!($name));
        $crate::context_var! { $($rest)* }
    };
}

/// A variable with a value of its own in every [`Context`]. Made by [`context_var!`](crate::context_var).
///
/// Inside a task, the task's context counts; elsewhere, the thread's. A task's context lives as long as anything refers to the task, so
/// a value that holds a [`TaskRef`](crate::TaskRef) of the task itself keeps both for ever: hold its [`TaskId`](crate::TaskId) instead.
///
/// # Examples
///
/// ```
/// runtime_core::context_var! { static LEVEL: u32 = 0; }
/// let token = LEVEL.set(1);
/// assert_eq!(LEVEL.get(), 1);
/// LEVEL.reset(token);
/// assert_eq!(LEVEL.get(), 0);
/// ```
///
/// # Example: without the macro
///
/// ```
/// use runtime_core::ContextVar;
///
/// static USER: ContextVar<String> = ContextVar::new("USER");
/// static LEVEL: ContextVar<u32> = ContextVar::with_default("LEVEL", || 3);
/// assert_eq!(USER.try_get(), None);
/// assert_eq!(LEVEL.get(), 3);
/// assert_eq!(USER.name(), "USER");
/// ```
pub struct ContextVar<T: 'static> {
    /// For messages; also gives every variable an address of its own.
    name: &'static str,
    /// The value where none was set.
    default: Option<fn() -> T>,
}

/// What [`ContextVar::set`] gives back, to undo it with [`ContextVar::reset`]. Often nobody wants to, so it may be ignored.
///
/// # Examples
///
/// ```
/// use runtime_core::{Token, context_var};
///
/// context_var! { static DEPTH: u32 = 0; }
/// let token: Token<u32> = DEPTH.set(1);
/// DEPTH.reset(token);
/// assert_eq!(DEPTH.get(), 0);
/// ```
pub struct Token<T: 'static> {
    var: &'static ContextVar<T>,
    before: Option<Value>,
}

/// Value of one variable in one context.
type Value = Arc<dyn Any + Send + Sync>;

/// The values of a context: few, so that a list beats a map.
#[derive(Clone, Default)]
pub(crate) struct ContextMap(Vec<(usize, Value)>);

impl ContextMap {
    fn get(&self, key: usize) -> Option<&Value> {
        self.0.iter().find(|(of, _)| *of == key).map(|(_, value)| value)
    }

    fn with(&self, key: usize, value: Option<Value>) -> Self {
        let mut entries: Vec<_> = self.0.iter().filter(|(of, _)| *of != key).cloned().collect();
        entries.extend(value.map(|value| (key, value)));
        Self(entries)
    }
}

impl<T: Clone + Send + Sync + 'static> ContextVar<T> {
    /// A variable without a default; `name` is for messages.
    pub const fn new(name: &'static str) -> Self {
        Self { name, default: None }
    }

    /// A variable with a default, computed at each [`get`](Self::get) that finds no value.
    pub const fn with_default(name: &'static str, default: fn() -> T) -> Self {
        Self { name, default: Some(default) }
    }

    /// The variable's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The value in the current context, or the default.
    ///
    /// # Panics
    ///
    /// When there is neither; [`try_get`](Self::try_get) asks.
    #[track_caller]
    pub fn get(&'static self) -> T {
        match self.try_get() {
            Some(value) => value,
            None => panic!(
                "context variable `{}` has no value here and no default: set it first, or use `try_get`",
                self.name
            ),
        }
    }

    /// The value in the current context, the default, or `None`.
    pub fn try_get(&'static self) -> Option<T> {
        let value = current_map().as_ref().and_then(|map| map.get(self.key()).cloned());
        match value {
            Some(value) => value.downcast_ref::<T>().cloned(),
            None => self.default.map(|default| default()),
        }
    }

    /// Sets the value in the current context; other contexts, also those copied from it before, do not change.
    pub fn set(&'static self, value: T) -> Token<T> {
        let before = self.exchange(Some(Arc::new(value)));
        Token { var: self, before }
    }

    /// Gives the variable the value that it had before the [`set`](Self::set) that made the token.
    ///
    /// # Panics
    ///
    /// When the token is another variable's.
    #[track_caller]
    pub fn reset(&'static self, token: Token<T>) {
        assert!(
            std::ptr::eq(self, token.var),
            "this token is of context variable `{}`, not of `{}`",
            token.var.name,
            self.name
        );
        self.exchange(token.before);
    }

    fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn exchange(&'static self, value: Option<Value>) -> Option<Value> {
        let map = current_map();
        let before = map.as_ref().and_then(|map| map.get(self.key()).cloned());
        let changed = map.as_deref().cloned().unwrap_or_default().with(self.key(), value);
        drop(replace_current_map(Some(Arc::new(changed))));
        before
    }
}

impl<T> fmt::Debug for ContextVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ContextVar").field(&self.name).finish()
    }
}

impl<T> fmt::Debug for Token<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.var.name).finish()
    }
}

/// A set of values for all context variables.
///
/// # Examples
///
/// ```
/// use runtime_core::{Context, context_var};
///
/// context_var! { static LANG: &'static str = "en"; }
/// let mut context = Context::current();
/// context.run(|| {
///     LANG.set("de");
/// });
/// assert_eq!(LANG.get(), "en");
/// assert_eq!(context.run(|| LANG.get()), "de");
/// ```
///
/// # Example: without anything set
///
/// ```
/// use runtime_core::{Context, context_var};
///
/// context_var! { static LANG: &'static str = "en"; }
/// LANG.set("de");
/// assert_eq!(Context::new().run(|| LANG.get()), "en");
/// ```
#[derive(Clone, Default)]
pub struct Context {
    pub(crate) map: Option<Arc<ContextMap>>,
    /// Not to be built from outside.
    private: PhantomData<()>,
}

impl Context {
    /// A context in which no variable has a value.
    pub fn new() -> Self {
        Self::default()
    }

    /// A copy of the current context: the running task's, or the thread's.
    pub fn current() -> Self {
        Self::from_map(current_map())
    }

    /// Runs `f` in this context; what it sets stays in it.
    pub fn run<R>(&mut self, f: impl FnOnce() -> R) -> R {
        struct Back<'a> {
            context: &'a mut Context,
            outside: Option<Arc<ContextMap>>,
        }

        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.context.map = replace_current_map(self.outside.take());
            }
        }

        let outside = replace_current_map(self.map.take());
        let _back = Back { context: self, outside };
        f()
    }

    pub(crate) fn from_map(map: Option<Arc<ContextMap>>) -> Self {
        Self { map, private: PhantomData }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({} values)", self.map.as_ref().map_or(0, |map| map.0.len()))
    }
}

thread_local! {
    /// The context of code that runs outside of any task on this thread.
    static THREAD: RefCell<Option<Arc<ContextMap>>> = const { RefCell::new(None) };
}

/// The current map, shared. In a thread that is being torn down the context is empty.
#[inline]
pub(crate) fn current_map() -> Option<Arc<ContextMap>> {
    match current::task() {
        Some(task) => read_as_owner(task.header()),
        None => THREAD.try_with(|map| map.borrow().clone()).ok().flatten(),
    }
}

/// Puts another map in; the old one is the caller's to drop, with nothing borrowed.
fn replace_current_map(map: Option<Arc<ContextMap>>) -> Option<Arc<ContextMap>> {
    match current::task() {
        Some(task) => replace_as_owner(task.header(), map),
        None => THREAD.try_with(|place| place.replace(map)).ok().flatten(),
    }
}

/// The map of the task that this thread is polling.
#[inline]
fn read_as_owner(task: &Header) -> Option<Arc<ContextMap>> {
    // SAFETY: only the poller replaces the map (R5), and this thread is the poller.
    task.context.with(|map| unsafe { (*map).clone() })
}

fn replace_as_owner(task: &Header, map: Option<Arc<ContextMap>>) -> Option<Arc<ContextMap>> {
    let _readers = task.cold().inner.lock();
    // SAFETY: this thread is the poller and holds the lock under which other threads read (R5).
    task.context.with_mut(|place| unsafe { std::mem::replace(&mut *place, map) })
}

/// Whether the task has variables. Asked by its completer, after whom nobody replaces them (R5).
#[inline]
pub(crate) fn has_any(task: &Header) -> bool {
    // SAFETY: read only; the poller, who may write, is the caller.
    task.context.with(|map| unsafe { (*map).is_some() })
}

/// The map of any task, from any thread.
pub(crate) fn read_as_stranger(task: &Header) -> Option<Arc<ContextMap>> {
    let _owner = task.cold().inner.lock();
    // SAFETY: the poller replaces the map only under this lock (R5).
    task.context.with(|map| unsafe { (*map).clone() })
}
