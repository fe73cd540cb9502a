//! Other people's libraries on `runtime`: the tests beside this file, and the code of the page below.
#![doc = include_str!("../../docs/works-with.md")]
