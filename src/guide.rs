//! The guide: the pages of `docs/`, whose Rust blocks are compiled and run as tests.
//!
//! * [`from_asyncio`]: every function of asyncio's chapter on tasks, side by side.
//! * [`cancellation`]: the model, and how to write clean-up.

// A link that is defined first wins: here to the modules, in the pages themselves to the files.
macro_rules! page {
    ($name:ident, $file:literal) => {
        #[doc = concat!(
                            "[from-asyncio]: mod@crate::guide::from_asyncio\n",
                            "[cancellation]: mod@crate::guide::cancellation\n",
                        )]
        #[doc = include_str!(concat!("../docs/", $file))]
        pub mod $name {}
    };
}

page!(from_asyncio, "from-asyncio.md");
page!(cancellation, "cancellation.md");
