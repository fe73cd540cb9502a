//! Feature `hyper`: what [hyper](https://docs.rs/hyper) 1 wants of a runtime.
//!
//! hyper speaks HTTP, and leaves three things to others: where its background work runs ([`Executor`]), how it waits ([`Timer`]), and the
//! bytes. For the bytes take any reader and writer of `futures::io`, a TCP stream of `async-net` or `async-io` say, wrapped in [`Io`].
//!
//! The book's page on other libraries shows a server, and `examples/http` a larger one.
//!
//! # A client that goes away
//!
//! When a client closes its connection, hyper **drops** the future of the request's handler. A drop is not caught, so
//! [`catch_cancelled`](crate::catch_cancelled) in the handler gets no chance. Run a handler that has something to clean up as a child of a
//! [`gather`](crate::gather()) or a [`TaskGroup`](crate::TaskGroup): dropped, these cancel their children, which then clean up on their own.
//!
//! # Examples
//!
//! ```
//! use hyper::rt::{Executor as _, Timer as _};
//! use runtime::{Handle, Promise, Runner, hyper::{Executor, Timer}};
//! use std::time::Duration;
//!
//! let runner = Runner::builder().workers(1).virtual_time(true).build()?;
//! runner.run(async {
//!     let (promise, task) = Promise::new();
//!     Executor.execute(async { promise.set_result("in the background").unwrap() });
//!     assert_eq!(task.await.unwrap(), "in the background");
//!
//!     let start = Timer.now();
//!     Timer.sleep(Duration::from_secs(60)).await;
//!     assert_eq!(Handle::current().time() - start, Duration::from_secs(60));
//! }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```

use ::hyper::rt;
use futures_io::{AsyncRead, AsyncWrite};
use pin_project_lite::pin_project;
use runtime_core::{Handle, Sleep, create_task, sleep_until};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// Runs what hyper wants to have running in the background (the streams of HTTP/2) as tasks of the current runtime.
///
/// The tasks are detached. A panic in one goes to the runtime's exception handler.
///
/// # Panics
///
/// `execute` panics when its thread is not running a runtime, as [`create_task`] does.
///
/// # Cancellation
///
/// The tasks are cancelled at the end of the runtime like all others, and by nothing before.
///
/// # Examples
///
/// ```
/// use hyper::rt::Executor as _;
/// use runtime::{Promise, hyper::Executor};
///
/// runtime::run(async {
///     let (promise, task) = Promise::new();
///     Executor.execute(async { promise.set_result(1).unwrap() });
///     assert_eq!(task.await.unwrap(), 1);
/// });
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Executor;

impl<F> rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    #[track_caller]
    fn execute(&self, future: F) {
        drop(create_task(future));
    }
}

/// Gives hyper the time of the current runtime, virtual or real: for its timeouts of headers and the pings of HTTP/2.
///
/// # Panics
///
/// Its methods panic when their thread is not running a runtime.
///
/// # Examples
///
/// ```
/// use hyper::rt::Timer as _;
/// use runtime::{Handle, Runner, hyper::Timer};
/// use std::time::Duration;
///
/// let runner = Runner::builder().workers(1).virtual_time(true).build()?;
/// runner.run(async {
///     let start = Handle::current().time();
///     Timer.sleep(Duration::from_secs(60)).await;
///     assert_eq!(Timer.now() - start, Duration::from_secs(60));
/// }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Timer;

impl rt::Timer for Timer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        // From now, and not from the first poll: hyper may keep it for later.
        match self.now().checked_add(duration) {
            Some(deadline) => self.sleep_until(deadline),
            None => Box::pin(Waiting { sleep: crate::sleep(duration) }),
        }
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Waiting { sleep: sleep_until(deadline) })
    }

    fn now(&self) -> Instant {
        Handle::current().time()
    }
}

pin_project! {
    /// A sleep that hyper takes.
    struct Waiting {
        #[pin]
        sleep: Sleep,
    }
}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().sleep.poll(cx)
    }
}

impl rt::Sleep for Waiting {}

/// The most that one read asks for: hyper's buffer grows further than a socket gives at once, and what is asked for is zeroed first.
const MOST: usize = 64 * 1024;

pin_project! {
    /// Makes a reader and writer of `futures::io` (a stream of `async-net` or `async-io`) one of hyper's.
    ///
    /// # Cancellation
    ///
    /// What that of the stream within is.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::io::Cursor;
    /// use hyper::rt::{Read as _, ReadBuf};
    /// use runtime::hyper::Io;
    /// use std::pin::Pin;
    ///
    /// runtime::run(async {
    ///     let mut io = Io::new(Cursor::new(b"bytes"));
    ///     let mut memory = [0; 16];
    ///     let mut buf = ReadBuf::new(&mut memory);
    ///     std::future::poll_fn(|cx| Pin::new(&mut io).poll_read(cx, buf.unfilled())).await.unwrap();
    ///     assert_eq!(buf.filled(), b"bytes");
    ///     assert_eq!(io.into_inner().position(), 5);
    /// });
    /// ```
    #[derive(Debug)]
    pub struct Io<S> {
        #[pin]
        stream: S,
    }
}

impl<S> Io<S> {
    /// Wraps a stream.
    pub fn new(stream: S) -> Self {
        Self { stream }
    }

    /// The stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use runtime::hyper::Io;
    ///
    /// assert_eq!(*Io::new(7).get_ref(), 7);
    /// ```
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Takes the stream out again: after an upgrade of the connection, say.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead> rt::Read for Io<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: rt::ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let free = buf.initialize_unfilled_to(buf.remaining().min(MOST));
        let most = free.len();
        let read = ready!(self.project().stream.poll_read(cx, free))?;
        assert!(read <= most, "a reader has read more than there was room for");
        // SAFETY: `read` bytes are initialised, because all of `free` was, by the line above, and the assertion bounds it.
        unsafe { buf.advance(read) };
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite> rt::Write for Io<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_close(cx)
    }

    /// True: TCP streams have a vectored write, and a stream without one writes the first buffer.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(cx, bufs)
    }
}
