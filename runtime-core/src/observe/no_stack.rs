//! In the place of `stack` where no stack of another thread can be taken.

use std::convert::Infallible;
use std::fmt;
use std::io;

/// Any thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ThreadId;

impl ThreadId {
    pub(crate) fn current() -> Self {
        Self
    }
}

/// Never there.
#[derive(Debug)]
pub(crate) struct Frames(Infallible);

impl fmt::Display for Frames {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

pub(crate) fn install() -> io::Result<()> {
    let message = "`stuck_stacks` needs Linux on x86-64, and the feature `stuck-stacks` of this crate";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

pub(crate) fn sample(_thread: ThreadId) -> Option<Frames> {
    None
}
