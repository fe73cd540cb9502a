//! What the threads share: chains of free blocks, and the chunks that the blocks are cut from.

use super::blocks::{CLASSES, FreeBlock, are_kept, full, size_of_class};
use super::chunk::{self, CHUNK};
use crate::spin::SpinLock;
use std::ptr::NonNull;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The room at the beginning of a chunk that is not for blocks: two cache lines, so that blocks of whole lines begin at the beginning of one.
const HEAD: usize = 128;
/// How many bytes of free blocks the depot keeps.
const KEPT: usize = 32 << 20;
/// After so many bytes of chunks given back, the global allocator is asked to do the same.
const TRIM: usize = 8 << 20;
/// A list of free blocks that belong to nobody but its holder.
#[derive(Clone, Copy)]
pub(super) struct Chain {
    pub(super) first: NonNull<FreeBlock>,
    pub(super) len: usize,
}

/// The beginning of a chunk.
struct Chunk {
    /// The blocks that have not come back: those in use, those in lists, and those not yet cut.
    live: AtomicUsize,
    /// The next chunk with blocks to be cut; guarded by the lock of the class.
    next: Option<NonNull<Chunk>>,
    /// How many blocks have been cut; guarded by the lock of the class.
    cut: usize,
}

/// What there is of one class.
struct Class {
    /// Chains, the last one put first.
    chains: Option<Chain>,
    /// Chunks with blocks to be cut.
    chunks: Option<NonNull<Chunk>>,
}

// SAFETY: free blocks and uncut chunks are no thread's, and are only followed under the lock.
unsafe impl Send for Class {}

static DEPOT: [SpinLock<Class>; CLASSES] = [const { SpinLock::new(Class { chains: None, chunks: None }) }; CLASSES];

/// Bytes in all chains of the depot.
static KEEPS: AtomicUsize = AtomicUsize::new(0);
/// Bytes of chunks given back since the global allocator was last asked to do the same.
static GIVEN_BACK: AtomicUsize = AtomicUsize::new(0);

const fn blocks_of_chunk(class: usize) -> usize {
    (CHUNK - HEAD) / size_of_class(class)
}

impl Class {
    fn push(&mut self, chain: Chain) {
        let Chain { mut first, .. } = chain;
        // SAFETY: the chain is its holder's, and now ours under the lock.
        unsafe { first.as_mut() }.next_chain = self.chains.replace(chain);
    }

    fn pop(&mut self) -> Option<Chain> {
        let chain = self.chains?;
        // SAFETY: in the depot, so ours under the lock.
        self.chains = unsafe { chain.first.as_ref() }.next_chain;
        Some(chain)
    }

    /// Cuts up to `len` blocks off a chunk; gives the first one's address, and how many there are.
    fn cut(&mut self, class: usize, len: usize) -> Option<(NonNull<u8>, usize)> {
        let place = self.chunks?;
        // No reference to the whole chunk, here and below: others count in `live` at the same time, and read nothing else.
        // SAFETY: with blocks to be cut it stays alive, as those count as live; these two fields are guarded by the lock.
        let (next, cut) = unsafe { ((*place.as_ptr()).next, &mut (*place.as_ptr()).cut) };
        let len = len.min(blocks_of_chunk(class) - *cut);
        let offset = HEAD + *cut * size_of_class(class);
        *cut += len;
        if *cut == blocks_of_chunk(class) {
            self.chunks = next;
        }
        // SAFETY: inside of the chunk: not more blocks are cut than fit.
        Some((unsafe { place.cast::<u8>().add(offset) }, len))
    }
}

/// A chain of at least one and at most `len` blocks.
pub(super) fn take(class: usize, len: usize) -> Chain {
    loop {
        let (chain, cut) = {
            let mut depot = DEPOT[class].lock();
            let chain = if len == full(class) { depot.pop() } else { None };
            let cut = if chain.is_some() { None } else { depot.cut(class, len) };
            (chain, cut)
        };
        if let Some(chain) = chain {
            KEEPS.fetch_sub(chain.len * size_of_class(class), Relaxed);
            return chain;
        }
        if let Some((first, len)) = cut {
            return link(class, first, len);
        }
        let chunk = new_chunk(class);
        let mut depot = DEPOT[class].lock();
        // SAFETY: fresh, and ours.
        unsafe { (*chunk.as_ptr()).next = depot.chunks.replace(chunk) };
    }
}

/// Makes a chain of blocks that lie side by side.
fn link(class: usize, first: NonNull<u8>, len: usize) -> Chain {
    let block = |index: usize| {
        // SAFETY: the caller has cut `len` blocks off a chunk.
        unsafe { first.add(index * size_of_class(class)) }.cast::<FreeBlock>()
    };
    for index in 0..len {
        let next = (index + 1 < len).then(|| block(index + 1));
        // SAFETY: ours, large enough, and aligned: the head of a chunk and all sizes are multiples of the grain.
        unsafe { block(index).write(FreeBlock { next, next_chain: None }) };
    }
    Chain { first: first.cast(), len }
}

fn new_chunk(class: usize) -> NonNull<Chunk> {
    let chunk = chunk::allocate().cast::<Chunk>();
    let live = AtomicUsize::new(blocks_of_chunk(class));
    // SAFETY: fresh room, larger than this and aligned.
    unsafe { chunk.write(Chunk { live, next: None, cut: 0 }) };
    chunk
}

/// Keeps a chain for others, or gives its blocks back when there is enough.
pub(super) fn put(class: usize, chain: Chain) {
    let bytes = chain.len * size_of_class(class);
    if !are_kept() {
        return give_back(chain);
    }
    // Relaxed, here and above: a bound that may be missed by what is under way.
    if KEEPS.fetch_add(bytes, Relaxed) + bytes > KEPT {
        KEEPS.fetch_sub(bytes, Relaxed);
        return give_back(chain);
    }
    DEPOT[class].lock().push(chain);
}

/// Gives one block back.
///
/// # Safety
///
/// It came from `take`, and nobody uses it.
pub(super) unsafe fn put_one(block: NonNull<FreeBlock>) {
    // SAFETY: large enough, aligned, and the caller's to overwrite.
    unsafe { block.write(FreeBlock { next: None, next_chain: None }) };
    give_back(Chain { first: block, len: 1 });
}

/// Gives the blocks of a chain back to their chunks, in as few steps as there are runs from the same chunk.
fn give_back(chain: Chain) {
    let mut next = Some(chain.first);
    let mut run: Option<(NonNull<Chunk>, usize)> = None;
    while let Some(block) = next {
        // SAFETY: a block of the chain, which is ours; it is read before it is given back.
        next = unsafe { block.as_ref() }.next;
        let chunk = chunk_of(block);
        run = match run {
            Some((same, len)) if same == chunk => Some((same, len + 1)),
            before => {
                before.into_iter().for_each(|(chunk, len)| release(chunk, len));
                Some((chunk, 1))
            }
        };
    }
    run.into_iter().for_each(|(chunk, len)| release(chunk, len));
}

fn chunk_of(block: NonNull<FreeBlock>) -> NonNull<Chunk> {
    let offset = block.as_ptr().addr() % CHUNK;
    // SAFETY: blocks lie in chunks, which begin at multiples of `CHUNK` and are as long.
    unsafe { block.byte_sub(offset) }.cast()
}

/// So many blocks of a chunk have come back; with the last one the chunk goes.
fn release(chunk: NonNull<Chunk>, len: usize) {
    // Release: pairs with the acquire fence of whoever takes the last one, so that all use of the blocks comes before the end of the chunk.
    // SAFETY: alive as long as blocks count as live, and `len` of those are ours.
    if unsafe { &(*chunk.as_ptr()).live }.fetch_sub(len, Release) > len {
        return;
    }
    std::sync::atomic::fence(Acquire);
    // SAFETY: from `new_chunk`; all blocks are back, those not yet cut included, so it is in no list.
    unsafe { chunk::free(chunk.cast()) };
    GIVEN_BACK.fetch_add(CHUNK, Relaxed);
}

/// Gives all back that is in the depot.
pub(super) fn clear() {
    for (class, depot) in DEPOT.iter().enumerate() {
        let (mut chains, mut chunks) = {
            let mut depot = depot.lock();
            (Class { chains: depot.chains.take(), chunks: None }, depot.chunks.take())
        };
        while let Some(chain) = chains.pop() {
            KEEPS.fetch_sub(chain.len * size_of_class(class), Relaxed);
            give_back(chain);
        }
        while let Some(chunk) = chunks {
            // SAFETY: taken off the list, so ours as far as the lock guards it; alive because of what is uncut.
            let (next, cut) = unsafe { ((*chunk.as_ptr()).next, (*chunk.as_ptr()).cut) };
            chunks = next;
            release(chunk, blocks_of_chunk(class) - cut);
        }
    }
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
