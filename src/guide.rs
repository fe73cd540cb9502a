//! The guide: the pages of `docs/`, whose Rust blocks are compiled and run as tests.
//!
//! * [`tutorial`]: the first hour.
//! * [`from_asyncio`]: every function of asyncio's chapter on tasks, side by side.
//! * [`cancellation`]: the model, and how to write clean-up.
//! * [`primitives`]: which channel and which lock.
//! * [`testing`]: tests that give the same result every time.
//! * [`debugging`]: a program that hangs, found from outside.

// A link that is defined first wins: here to the modules, in the pages themselves to the files.
macro_rules! page {
    ($name:ident, $file:literal) => {
        #[doc = "[tutorial]: mod@crate::guide::tutorial"]
        #[doc = "[from-asyncio]: mod@crate::guide::from_asyncio"]
        #[doc = "[cancellation]: mod@crate::guide::cancellation"]
        #[doc = "[primitives]: mod@crate::guide::primitives"]
        #[doc = "[testing]: mod@crate::guide::testing"]
        #[doc = "[debugging]: mod@crate::guide::debugging"]
        #[doc = ""]
        #[doc = include_str!(concat!("../docs/", $file))]
        pub mod $name {}
    };
}

page!(tutorial, "tutorial.md");
page!(from_asyncio, "from-asyncio.md");
page!(cancellation, "cancellation.md");
page!(primitives, "primitives.md");
page!(testing, "testing.md");
page!(debugging, "debugging.md");
