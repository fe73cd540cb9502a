//! The parser of the attributes' options, over whatever tokens a text has: it says what is wrong, and never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../runtime-macros/src/args.rs"]
mod args;

use args::{Args, Attribute, Errors};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(duration) = args::parse_duration(text) {
        assert!(text.starts_with(|first: char| first.is_ascii_digit()), "{text:?} is {duration:?}");
    }
    let Ok(tokens) = text.parse::<proc_macro2::TokenStream>() else { return };
    for attribute in [Attribute::Main, Attribute::Test] {
        let mut errors = Errors::default();
        let args = Args::parse(tokens.clone(), attribute, &mut errors);
        assert_eq!(errors.is_empty(), errors.to_compile_errors().is_empty());
        let mut names: Vec<_> = args.builder_settings().map(|setting| setting.name.to_string()).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "an option is there once");
    }
});
