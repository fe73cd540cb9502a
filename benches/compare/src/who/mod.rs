//! Who is measured.

pub mod executor;
#[cfg(feature = "ours")]
pub mod ours;
pub mod tokio;

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// This project's runtime.
    Ours,
    /// Tokio, multi-thread.
    Tokio,
    /// `async_executor::Executor`.
    Executor,
    /// `async_executor::StaticExecutor`.
    StaticExecutor,
    /// The least that could work.
    Floor,
}

impl Who {
    /// All, in the order of the columns.
    pub const ALL: [Who; 5] = [Who::Ours, Who::Tokio, Who::Executor, Who::StaticExecutor, Who::Floor];

    /// Its name on the command line, in tables and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Who::Ours => "ours",
            Who::Tokio => "tokio",
            Who::Executor => "executor",
            Who::StaticExecutor => "static-executor",
            Who::Floor => "floor",
        }
    }

    /// The inverse of [`Who::name`].
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|who| who.name() == name)
    }

    /// Whether goals are measured against it.
    pub fn is_peer(self) -> bool {
        matches!(self, Who::Tokio | Who::Executor | Who::StaticExecutor)
    }

    /// Whether this build can run it.
    pub fn is_built(self) -> bool {
        self != Who::Ours || cfg!(feature = "ours")
    }
}
