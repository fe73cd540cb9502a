//! What the threads share: the chunks that blocks are cut from and come back to.

use super::blocks::{CLASSES, Chain, FreeBlock, Fresh, Supply, are_kept, full, size_of_class};
use super::chunk::{self, CHUNK};
use crate::spin::SpinLock;
use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// The room at the beginning of a chunk that is not for blocks: two cache lines, so that blocks of whole lines begin at the beginning of one.
const HEAD: usize = 128;
const _: () = assert!(size_of::<Chunk>() <= HEAD);
/// How many chunks are kept for their class that are free as a whole.
const SPARE: usize = (4 << 20) / CHUNK;
/// After so many bytes of chunks given back, the global allocator is asked to do the same.
const TRIM: usize = 8 << 20;

/// Linked free blocks of one chunk, not more than make a full chain.
#[derive(Clone, Copy)]
pub(super) struct Run {
    first: NonNull<FreeBlock>,
    len: usize,
}

/// The beginning of a chunk; all of it guarded by the lock of the class.
struct Chunk {
    /// How many blocks have been cut.
    cut: usize,
    /// How many of these have not come back.
    out: usize,
    /// The run that came back last of those that have.
    free: Option<Run>,
    /// Its neighbours among the chunks with room.
    before: Option<NonNull<Chunk>>,
    after: Option<NonNull<Chunk>>,
}

/// What there is of one class.
struct Class {
    /// The chunks with blocks that are free or not yet cut. Those that have got room last are used last: they may become free as a whole.
    first: Option<NonNull<Chunk>>,
    last: Option<NonNull<Chunk>>,
}

// SAFETY: free blocks and chunks with room are no thread's, and are only followed under the lock.
unsafe impl Send for Class {}

static DEPOT: [SpinLock<Class>; CLASSES] = [const { SpinLock::new(Class::new()) }; CLASSES];

/// How many chunks there are of which no block is out.
static SPARES: AtomicUsize = AtomicUsize::new(0);
/// Bytes of chunks given back since the global allocator was last asked to do the same.
static GIVEN_BACK: AtomicUsize = AtomicUsize::new(0);

const fn blocks_of_chunk(class: usize) -> usize {
    (CHUNK - HEAD) / size_of_class(class)
}

impl Chunk {
    const FRESH: Self = Self { cut: 0, out: 0, free: None, before: None, after: None };

    fn has_room(&self, class: usize) -> bool {
        self.free.is_some() || self.cut < blocks_of_chunk(class)
    }

    /// Takes blocks in that have come back. With the last of them they are joined to those before if that makes no more than a full chain, or a thread would get
    /// them one by one.
    fn put(&mut self, class: usize, run: Run, last: Option<NonNull<FreeBlock>>) {
        self.out -= run.len;
        let Run { mut first, mut len } = run;
        let mut below = self.free;
        if let (Some(mut last), Some(top)) = (last, self.free)
            && len + top.len <= full(class)
        {
            // SAFETY: these blocks came to us with the run, and the others before.
            unsafe { last.as_mut().next = Some(top.first) };
            len += top.len;
            // SAFETY: as above.
            below = unsafe { top.first.as_ref() }.next_run;
        }
        // SAFETY: as above.
        unsafe { first.as_mut() }.next_run = below;
        self.free = Some(Run { first, len });
    }

    /// Gives up to `len` blocks that have come back.
    fn pop(&mut self, len: usize) -> Option<Chain> {
        let run = self.free?;
        // SAFETY: free and ours.
        self.free = unsafe { run.first.as_ref() }.next_run;
        let len = len.min(run.len);
        if len < run.len
            && let Some(mut rest) = split_off(run.first, len)
        {
            // SAFETY: as above.
            unsafe { rest.as_mut() }.next_run = self.free;
            self.free = Some(Run { first: rest, len: run.len - len });
        }
        self.out += len;
        Some(Chain { first: run.first, len, is_mixed: false })
    }

    /// Cuts up to `len` blocks off; gives where in the chunk they begin, and how many they are.
    fn cut(&mut self, class: usize, len: usize) -> (usize, usize) {
        let len = len.min(blocks_of_chunk(class) - self.cut);
        let offset = HEAD + self.cut * size_of_class(class);
        self.cut += len;
        self.out += len;
        (offset, len)
    }
}

/// Ends a list of free blocks, which is the caller's, after `len` of them; gives the first one of the rest.
fn split_off(first: NonNull<FreeBlock>, len: usize) -> Option<NonNull<FreeBlock>> {
    let mut last = first;
    for _ in 1..len {
        // SAFETY: the caller's.
        last = unsafe { last.as_ref() }.next?;
    }
    // SAFETY: as above.
    unsafe { last.as_mut() }.next.take()
}

impl Class {
    const fn new() -> Self {
        Self { first: None, last: None }
    }

    /// A chunk of this class.
    fn chunk(&mut self, mut place: NonNull<Chunk>) -> &mut Chunk {
        // SAFETY: chunks in the list, and those with blocks out, are alive; the lock of the class, which is held by whoever has `self`, guards them.
        unsafe { place.as_mut() }
    }

    /// Adds a chunk that has room now.
    fn append(&mut self, place: NonNull<Chunk>) {
        let before = self.last.replace(place);
        match before {
            Some(before) => self.chunk(before).after = Some(place),
            None => self.first = Some(place),
        }
        self.chunk(place).before = before;
    }

    /// Takes a chunk out that has no room any more, or goes.
    fn unlink(&mut self, place: NonNull<Chunk>) {
        let chunk = self.chunk(place);
        let (before, after) = (chunk.before.take(), chunk.after.take());
        match before {
            Some(before) => self.chunk(before).after = after,
            None => self.first = after,
        }
        match after {
            Some(after) => self.chunk(after).before = before,
            None => self.last = before,
        }
    }

    /// Up to `len` blocks, if there are any.
    fn take(&mut self, class: usize, len: usize) -> Option<Supply> {
        let place = self.first?;
        let chunk = self.chunk(place);
        if chunk.out == 0 {
            SPARES.fetch_sub(1, Relaxed);
        }
        let supply = match chunk.pop(len) {
            Some(chain) => Supply::Chain(chain),
            None => {
                let (offset, len) = chunk.cut(class, len);
                // SAFETY: inside of the chunk: not more blocks are cut than fit.
                Supply::Fresh(Fresh { first: unsafe { place.byte_add(offset) }.cast(), len })
            }
        };
        if !chunk.has_room(class) {
            self.unlink(place);
        }
        Some(supply)
    }

    /// Blocks come back to their chunk. True if that is free as a whole, and the caller's.
    #[must_use]
    fn put(&mut self, class: usize, run: Run, last: Option<NonNull<FreeBlock>>) -> bool {
        let place = chunk_of(run.first);
        let chunk = self.chunk(place);
        let had_room = chunk.has_room(class);
        chunk.put(class, run, last);
        let is_free = chunk.out == 0;
        if is_free || !had_room {
            if had_room {
                self.unlink(place);
            }
            if is_free && !keep_one() {
                return true;
            }
            if is_free {
                // To be cut from the beginning again, side by side.
                *self.chunk(place) = Chunk::FRESH;
            }
            self.append(place);
        }
        false
    }

    /// Takes a chunk out of which no block is out.
    fn pop_free_chunk(&mut self) -> Option<NonNull<Chunk>> {
        let mut next = self.first;
        while let Some(place) = next {
            let chunk = self.chunk(place);
            if chunk.out == 0 {
                SPARES.fetch_sub(1, Relaxed);
                self.unlink(place);
                return Some(place);
            }
            next = chunk.after;
        }
        None
    }
}

/// Whether one more chunk may be kept of which no block is out, which counts then.
fn keep_one() -> bool {
    // Relaxed: a bound that may be missed by what is under way.
    let keep = are_kept() && SPARES.load(Relaxed) < SPARE;
    if keep {
        SPARES.fetch_add(1, Relaxed);
    }
    keep
}

/// At least one and at most `len` blocks.
pub(super) fn take(class: usize, len: usize) -> Supply {
    loop {
        // A statement of its own: the lock is for this only.
        let supply = DEPOT[class].lock().take(class, len);
        if let Some(supply) = supply {
            return supply;
        }
        let chunk = new_chunk();
        SPARES.fetch_add(1, Relaxed);
        DEPOT[class].lock().append(chunk);
    }
}

fn new_chunk() -> NonNull<Chunk> {
    let chunk = chunk::allocate().cast::<Chunk>();
    // SAFETY: fresh room, larger than this and aligned.
    unsafe { chunk.write(Chunk::FRESH) };
    chunk
}

/// Gives one block back.
///
/// # Safety
///
/// It came from `take` of this class, and nobody uses it.
pub(super) unsafe fn put_one(class: usize, block: NonNull<FreeBlock>) {
    // SAFETY: by the caller's promise.
    unsafe { FreeBlock::write(block, None) };
    put_run(class, Run { first: block, len: 1 }, Some(block));
}

/// Gives the blocks of a chain back to their chunks, in as few steps as there are runs from the same chunk.
pub(super) fn put(class: usize, chain: Chain) {
    if !chain.is_mixed {
        return put_run(class, Run { first: chain.first, len: chain.len }, None);
    }
    let mut next = Some(chain.first);
    while let Some(first) = next {
        let (mut last, mut len) = (first, 1);
        next = loop {
            // SAFETY: a block of the chain, which is ours until it is given back.
            let next = unsafe { &mut last.as_mut().next };
            match *next {
                Some(block) if chunk_of(block) == chunk_of(first) => (last, len) = (block, len + 1),
                _ => break next.take(),
            }
        };
        put_run(class, Run { first, len }, Some(last));
    }
}

fn chunk_of(block: NonNull<FreeBlock>) -> NonNull<Chunk> {
    let offset = block.as_ptr().addr() % CHUNK;
    // SAFETY: blocks lie in chunks, which begin at multiples of `CHUNK` and are as long.
    unsafe { block.byte_sub(offset) }.cast()
}

/// Blocks come back to their chunk, which goes with the last one.
fn put_run(class: usize, run: Run, last: Option<NonNull<FreeBlock>>) {
    // A statement of its own, as in `take`.
    let is_free = DEPOT[class].lock().put(class, run, last);
    if is_free {
        free(chunk_of(run.first));
    }
}

/// Gives a chunk back that is in no list, and of which no blocks are out.
fn free(chunk: NonNull<Chunk>) {
    // SAFETY: from `new_chunk`; the lock under which it was found to be free has made all use of the blocks come before.
    unsafe { chunk::free(chunk.cast()) };
    GIVEN_BACK.fetch_add(CHUNK, Relaxed);
}

/// Gives all back that is in the depot.
pub(super) fn clear() {
    for depot in &DEPOT {
        // A statement of its own, as in `take`.
        while let Some(chunk) = { depot.lock().pop_free_chunk() } {
            free(chunk);
        }
    }
    chunk::give_free_ones_back();
    if GIVEN_BACK.load(Relaxed) >= TRIM {
        GIVEN_BACK.store(0, Relaxed);
        trim_global_allocator();
    }
}

/// glibc keeps what is free below the highest block in use until it is asked: after many tasks, what they and the queues have left there. A
/// program with another allocator has little in it, and this does nothing.
fn trim_global_allocator() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes a plain number, and may be called at any time from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
