//! The guide: the pages of `docs/`, whose Rust blocks are compiled and run as tests.
//!
//! * [`tutorial`]: the first hour.
//! * [`from_asyncio`]: every function of asyncio's chapter on tasks, side by side.
//! * [`from_tokio`]: what has another name, what behaves differently, what has no counterpart.
//! * [`cancellation`]: the model, and how to write clean-up.
//! * [`cookbook`]: tasks that people have, each with a piece of code.
//! * [`primitives`]: which channel and which lock.
//! * [`works_with`]: sockets, HTTP, and other libraries.
//! * [`testing`]: tests that give the same result every time.

// A link that is defined first wins: here to the modules, in the pages themselves to the files.
macro_rules! page {
    ($name:ident, $file:literal) => {
        #[doc = "[tutorial]: mod@crate::guide::tutorial"]
        #[doc = "[from-asyncio]: mod@crate::guide::from_asyncio"]
        #[doc = "[from-tokio]: mod@crate::guide::from_tokio"]
        #[doc = "[cancellation]: mod@crate::guide::cancellation"]
        #[doc = "[cookbook]: mod@crate::guide::cookbook"]
        #[doc = "[primitives]: mod@crate::guide::primitives"]
        #[doc = "[works-with]: mod@crate::guide::works_with"]
        #[doc = "[testing]: mod@crate::guide::testing"]
        #[doc = ""]
        #[doc = include_str!(concat!("../docs/", $file))]
        pub mod $name {}
    };
}

page!(tutorial, "tutorial.md");
page!(from_asyncio, "from-asyncio.md");
page!(from_tokio, "from-tokio.md");
page!(cancellation, "cancellation.md");
page!(cookbook, "cookbook.md");
page!(primitives, "primitives.md");
// Its code needs the libraries that it is about: it is run by the package `works-with`.
#[cfg(not(doctest))]
page!(works_with, "works-with.md");
page!(testing, "testing.md");
