//! What is still to be visited, and the results that wait for their turn.

use crate::hash::Digest;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What there is to visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
}

impl Kind {
    fn of_name(name: &OsStr) -> Self {
        if name.as_encoded_bytes().ends_with(b"/") { Self::Directory } else { Self::File }
    }
}

/// A file or a directory. The name of a directory ends in a slash, so that it stands where the paths of its files will.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    name: OsString,
    pub(crate) kind: Kind,
}

impl Node {
    fn new(mut name: OsString, kind: Kind) -> Self {
        if kind == Kind::Directory && !name.as_encoded_bytes().ends_with(b"/") {
            name.push("/");
        }
        Self { name, kind }
    }

    fn of_name(name: OsString) -> Self {
        Self { kind: Kind::of_name(&name), name }
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        Path::new(&self.name)
    }

    /// Reads a directory: its files and directories, in no order. Blocks.
    pub(crate) fn list(&self) -> io::Result<Vec<Node>> {
        let mut nodes = Vec::new();
        for entry in fs::read_dir(self.path())? {
            let entry = entry?;
            if let Some(kind) = kind_of(entry.file_type()?) {
                let mut name = OsString::with_capacity(self.name.len() + entry.file_name().len() + 1);
                name.push(&self.name);
                name.push(entry.file_name());
                nodes.push(Node::new(name, kind));
            }
        }
        Ok(nodes)
    }
}

/// `None` for what is neither: links are not followed, devices and the like not read.
fn kind_of(kind: fs::FileType) -> Option<Kind> {
    match () {
        () if kind.is_dir() => Some(Kind::Directory),
        () if kind.is_file() => Some(Kind::File),
        () => None,
    }
}

/// The state of the visit. Names are in the order of their bytes throughout, so that the results come out sorted.
pub(crate) struct Tree {
    /// Not begun.
    waiting: BTreeSet<OsString>,
    /// Begun, and the results of those that have ended but whose turn has not come.
    begun: BTreeMap<OsString, Option<Digest>>,
    /// How many of those have not ended.
    open: usize,
}

impl Tree {
    /// The visit of these paths; one that is below another is visited once.
    ///
    /// # Errors
    ///
    /// When one of them does not exist, or is neither a file nor a directory.
    pub(crate) fn new(paths: &[PathBuf]) -> io::Result<Self> {
        let mut waiting = BTreeSet::new();
        // Written in one way only: without doubled slashes, and without one at the end.
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.components().collect()).collect();
        for path in &paths {
            let kind = fs::symlink_metadata(path).and_then(|metadata| {
                kind_of(metadata.file_type()).ok_or_else(|| io::Error::other("neither a regular file nor a directory"))
            });
            let kind = kind.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            if !paths.iter().any(|other| other != path && path.starts_with(other)) {
                waiting.insert(Node::new(path.clone().into_os_string(), kind).name);
            }
        }
        Ok(Self { waiting, begun: BTreeMap::new(), open: 0 })
    }

    /// How many files are known and not begun.
    pub(crate) fn files_waiting(&self) -> usize {
        self.waiting.iter().filter(|name| Kind::of_name(name) == Kind::File).count()
    }

    /// How many visits have begun and not ended.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Whether all is done and told.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.begun.is_empty()
    }

    /// The next one to begin.
    pub(crate) fn start_next(&mut self) -> Option<Node> {
        let name = self.waiting.pop_first()?;
        self.begun.insert(name.clone(), None);
        self.open += 1;
        Some(Node::of_name(name))
    }

    pub(crate) fn finish_file(&mut self, node: Node, digest: Digest) {
        self.begun.insert(node.name, Some(digest));
        self.open -= 1;
    }

    pub(crate) fn finish_directory(&mut self, node: &Node, entries: Vec<Node>) {
        self.begun.remove(&node.name);
        self.waiting.extend(entries.into_iter().map(|entry| entry.name));
        self.open -= 1;
    }

    pub(crate) fn finish_failed(&mut self, node: &Node) {
        self.begun.remove(&node.name);
        self.open -= 1;
    }

    /// The next result, if everything before it has been told.
    pub(crate) fn next_result(&mut self) -> Option<(OsString, Digest)> {
        let first = self.begun.first_entry()?;
        let digest = (*first.get())?;
        let is_next = self.waiting.first().is_none_or(|waiting| first.key() < waiting);
        is_next.then(|| (first.remove_entry().0, digest))
    }
}
