//! Every option, used rightly and wrongly.

use std::time::Duration;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};

use crate::args::{Args, Attribute, Errors, parse_duration};

/// The options and the text of the errors.
fn parse(attribute: Attribute, source: &str) -> (Args, Vec<String>) {
    let tokens: TokenStream = source.parse().expect("tokens");
    let mut errors = Errors::default();
    let args = Args::parse(tokens, attribute, &mut errors);
    (args, messages(&errors))
}

/// The texts inside the `compile_error!` calls.
fn messages(errors: &Errors) -> Vec<String> {
    let file: syn::File = syn::parse2(errors.to_compile_errors()).expect("items");
    file.items
        .into_iter()
        .map(|item| match item {
            syn::Item::Macro(call) => call.mac.parse_body::<syn::LitStr>().expect("text").value(),
            other => panic!("not an error: {}", other.to_token_stream()),
        })
        .collect()
}

/// The builder's methods and arguments, as source.
fn settings(attribute: Attribute, source: &str) -> String {
    let (args, errors) = parse(attribute, source);
    assert_eq!(errors, Vec::<String>::new(), "for `{source}`");
    let methods = args.builder_settings().map(|setting| {
        let (name, value) = (&setting.name, &setting.value);
        quote!(.#name(#value))
    });
    quote!(#(#methods)*).to_string().replace(' ', "")
}

/// The only error.
fn error(attribute: Attribute, source: &str) -> String {
    let (_, mut errors) = parse(attribute, source);
    assert_eq!(errors.len(), 1, "for `{source}`: {errors:?}");
    errors.remove(0)
}

#[test]
fn every_option_accepts_its_literal() {
    for (source, call) in [
        ("workers = 4", ".workers(4)"),
        ("workers = 0x10usize", ".workers(16)"),
        ("thread_name = \"io\"", ".thread_name(\"io\")"),
        ("thread_stack_size = 2_097_152", ".thread_stack_size(2097152)"),
        ("max_blocking_threads = 64", ".max_blocking_threads(64)"),
        ("blocking_keep_alive = \"10s\"", ".blocking_keep_alive(::core::time::Duration::new(10u64,0u32))"),
        ("debug", ".debug(true)"),
        ("debug = false", ".debug(false)"),
        ("slow_poll_threshold = \"100ms\"", ".slow_poll_threshold(::core::time::Duration::new(0u64,100000000u32))"),
        ("handle_interrupts = false", ".handle_interrupts(false)"),
        ("shutdown_grace = \"1m\"", ".shutdown_grace(::core::time::Duration::new(60u64,0u32))"),
        ("virtual_time", ".virtual_time(true)"),
        ("virtual_time = true", ".virtual_time(true)"),
        ("seed = 18_446_744_073_709_551_615", ".seed(18446744073709551615)"),
        ("eager_tasks", ".eager_tasks(true)"),
    ] {
        assert_eq!(settings(Attribute::Main, source), call);
        assert_eq!(settings(Attribute::Test, source), call);
    }
}

#[test]
fn every_option_accepts_a_path_and_a_block() {
    for name in [
        "workers",
        "thread_name",
        "thread_stack_size",
        "max_blocking_threads",
        "blocking_keep_alive",
        "debug",
        "slow_poll_threshold",
        "handle_interrupts",
        "shutdown_grace",
        "virtual_time",
        "seed",
        "eager_tasks",
    ] {
        let path = settings(Attribute::Main, &format!("{name} = a::B"));
        assert_eq!(path, format!(".{name}(a::B)"));
        let block = settings(Attribute::Main, &format!("{name} = {{ f(1, 2) }}"));
        assert_eq!(block, format!(".{name}(f(1,2))"));
        let long = settings(Attribute::Main, &format!("{name} = {{ f(); g() }}"));
        assert_eq!(long, format!(".{name}({{f();g()}})"));
    }
}

#[test]
fn every_option_refuses_other_values_and_says_what_it_accepts() {
    for (name, values) in [
        ("workers", &["0", "0x0", "-1", "\"4\"", "1.5", "true", "4u64", "f(1)", "1..2", ""][..]),
        ("thread_name", &["3", "'c'", "b\"io\"", "\"a\\0b\"", "\"io\"s"]),
        ("thread_stack_size", &["\"2M\"", "-1", "1i32", "99999999999999999999"]),
        ("max_blocking_threads", &["true", "1.0", "[1]"]),
        ("blocking_keep_alive", &["10", "\"10\"", "\"s\"", "\"10 parsecs\"", "\"\""]),
        ("debug", &["1", "\"true\"", "!true"]),
        ("slow_poll_threshold", &["\"-1s\"", "100ms", "\"0.5ns\""]),
        ("handle_interrupts", &["0", "()"]),
        ("shutdown_grace", &["\"99999999999999999999s\"", "\"1.s\"", "\".5s\""]),
        ("virtual_time", &["\"yes\"", "1..2"]),
        ("seed", &["\"7\"", "-7", "7usize", "0..7", "18446744073709551616"]),
        ("eager_tasks", &["1", "1 + 1"]),
        ("seeds", &["0", "5..5", "5..=4", "..5", "5..", "..", "\"1\"", "0..-1", "[1, 2]"]),
        ("crate", &["\"runtime\"", "3", "a::<b>", "f()", "{ a }"]),
    ] {
        for value in values {
            let message = error(Attribute::Test, &format!("{name} = {value}"));
            let start = format!("`{name}` takes ");
            assert!(message.starts_with(&start), "for `{name} = {value}`: {message}");
            assert!(message.contains(&format!("as in `{name} = ")), "{message}");
        }
    }
}

#[test]
fn an_option_other_than_a_flag_needs_a_value() {
    for name in ["workers", "thread_name", "shutdown_grace", "seed", "seeds", "crate"] {
        let message = error(Attribute::Test, name);
        assert!(message.starts_with(&format!("`{name}` takes ")), "{message}");
    }
}

#[test]
fn an_equals_sign_stands_between_name_and_value() {
    for source in ["workers(4)", "workers: 4", "workers == 4", "workers => 4", "debug(true)"] {
        let message = error(Attribute::Main, source);
        assert!(message.starts_with("expected `=` after `"), "for `{source}`: {message}");
    }
    assert!(error(Attribute::Main, "debug =").starts_with("`debug` takes nothing, "));
}

#[test]
fn the_right_values_of_seeds() {
    for (source, seeds) in [
        ("seeds = 100", "0 .. 100u64"),
        ("seeds = 3..9", "3 .. 9"),
        ("seeds = 3..=3", "3 ..= 3"),
        ("seeds = 0..MANY", "0 .. MANY"),
        ("seeds =0..{ many() }", "0 .. { many () }"),
        ("seeds = a::SEEDS", "a :: SEEDS"),
        ("seeds = { [17, 4711] }", "[17 , 4711]"),
    ] {
        let (args, errors) = parse(Attribute::Test, source);
        assert_eq!(errors, Vec::<String>::new(), "for `{source}`");
        let value = &args.get("seeds").expect("given").value;
        assert_eq!(value.to_token_stream().to_string(), seeds);
        assert_eq!(args.builder_settings().count(), 0);
    }
}

#[test]
fn the_right_values_of_crate() {
    for path in ["crate", "::rt", "self::rt", "super::a::rt", "rt"] {
        let (args, errors) = parse(Attribute::Main, &format!("crate = {path}"));
        assert_eq!(errors, Vec::<String>::new());
        let krate = args.krate.expect("given").to_token_stream().to_string();
        assert_eq!(krate.replace(' ', ""), path);
    }
}

#[test]
fn options_keep_their_order_and_a_last_comma_is_allowed() {
    let calls = settings(Attribute::Main, "debug, workers = 2, eager_tasks = false,");
    assert_eq!(calls, ".debug(true).workers(2).eager_tasks(false)");
    assert_eq!(settings(Attribute::Main, ""), "");
}

#[test]
fn an_unknown_option_draws_the_list_and_the_nearest_name() {
    for (written, meant) in [
        ("wrokers", "workers"),
        ("worker", "workers"),
        ("thred_name", "thread_name"),
        ("virtualtime", "virtual_time"),
        ("eager_task", "eager_tasks"),
        ("sede", "seed"),
        ("krate", "crate"),
        ("worker_threads", "workers"),
        ("flavor", "workers"),
        ("start_paused", "virtual_time"),
    ] {
        let message = error(Attribute::Main, &format!("{written} = 4"));
        let start = format!("unknown option `{written}`, did you mean `{meant}`?; accepted are");
        assert!(message.starts_with(&start), "{message}");
    }
    let message = error(Attribute::Main, "color = 4");
    assert_eq!(
        message,
        "unknown option `color`; accepted are `workers`, `thread_name`, `thread_stack_size`, \
         `max_blocking_threads`, `blocking_keep_alive`, `debug`, `slow_poll_threshold`, \
         `handle_interrupts`, `shutdown_grace`, `virtual_time`, `seed`, `eager_tasks`, `crate`"
    );
    assert!(error(Attribute::Test, "color = 4").contains("`eager_tasks`, `seeds`, `crate`"));
}

#[test]
fn a_thing_that_is_no_name_is_refused() {
    for source in ["4", "\"workers\" = 4", "(workers = 4)", "= 4", "..."] {
        let message = error(Attribute::Main, source);
        assert!(message.starts_with("expected the name of an option; accepted are `workers`, "));
    }
}

#[test]
fn a_comma_stands_behind_an_option() {
    for source in [",", ",workers = 4", "workers = 4,,debug"] {
        let message = error(Attribute::Main, source);
        assert_eq!(message, "expected an option before this comma");
    }
}

#[test]
fn seeds_are_for_tests() {
    let message = error(Attribute::Main, "seeds = 100");
    assert!(message.starts_with("`seeds` is for `#[runtime::test]`"), "{message}");
}

#[test]
fn an_option_is_given_once() {
    let message = error(Attribute::Main, "workers = 4, debug, workers = 4");
    assert_eq!(message, "`workers` is given twice; accepted once");
    let message = error(Attribute::Main, "crate = a, crate = a");
    assert_eq!(message, "`crate` is given twice; accepted once");
    // Also when the first had a wrong value.
    assert_eq!(parse(Attribute::Main, "seed = true, seed = 1").1.len(), 2);
}

#[test]
fn deterministic_runs_take_one_worker() {
    for (source, name) in [
        ("workers = 2, seed = 1", "seed"),
        ("seed = SEED, workers = 2", "seed"),
        ("workers = 2, virtual_time", "virtual_time"),
        ("workers = 2, virtual_time = true", "virtual_time"),
        ("workers = 2, seeds = 5", "seeds"),
    ] {
        let message = error(Attribute::Test, source);
        let start = format!("`{name}` makes the order of tasks deterministic");
        assert!(message.starts_with(&start), "{message}");
    }
    for fine in
        ["workers = 1, seed = 1, virtual_time", "workers = 2, virtual_time = false", "workers = WORKERS, seed = 1"]
    {
        assert_eq!(parse(Attribute::Test, fine).1, Vec::<String>::new());
    }
}

#[test]
fn seed_and_seeds_exclude_each_other() {
    for source in ["seed = 1, seeds = 2", "seeds = 2, debug, seed = 1"] {
        let message = error(Attribute::Test, source);
        assert!(message.starts_with("`seed` and `seeds` exclude each other"), "{message}");
    }
}

#[test]
fn all_errors_are_reported_together() {
    let (args, errors) =
        parse(Attribute::Test, "wokers = 4, workers = 0, debug, debug, seed = \"x\", shutdown_grace = \"2s\"");
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert_eq!(args.builder_settings().count(), 2);
}

#[test]
fn a_value_handed_on_by_a_declarative_macro_is_seen_through() {
    let grouped = |tokens| proc_macro2::Group::new(proc_macro2::Delimiter::None, tokens);
    let (four, range_end) = (grouped(quote!(4)), grouped(quote!(9)));
    for tokens in [quote!(workers = #four), quote!(seeds = 0..#range_end)] {
        let mut errors = Errors::default();
        Args::parse(tokens, Attribute::Test, &mut errors);
        assert_eq!(messages(&errors), Vec::<String>::new());
    }
    let zero = grouped(quote!(0));
    let mut errors = Errors::default();
    Args::parse(quote!(workers = #zero), Attribute::Test, &mut errors);
    assert_eq!(messages(&errors).len(), 1);
}

#[test]
fn durations() {
    let nanos = Duration::from_nanos;
    for (text, duration) in [
        ("0s", Duration::ZERO),
        ("7ns", nanos(7)),
        ("7us", nanos(7_000)),
        ("7µs", nanos(7_000)),
        ("100ms", nanos(100_000_000)),
        ("100 ms", nanos(100_000_000)),
        ("1.5s", nanos(1_500_000_000)),
        ("0.000000001s", nanos(1)),
        ("2m", Duration::from_secs(120)),
        ("1.25h", Duration::from_secs(4_500)),
        ("18446744073709551615s", Duration::from_secs(u64::MAX)),
    ] {
        assert_eq!(parse_duration(text), Some(duration), "for {text:?}");
    }
    for text in [
        "",
        " ",
        "s",
        "1",
        "1.s",
        ".1s",
        "1.1.1s",
        "-1s",
        "+1s",
        " 1s",
        "1s ",
        "1 S",
        "1d",
        "1ss",
        "1_000s",
        "0.1ns",
        "18446744073709551616s",
        "1e3s",
        "٣s",
        "0.0000000000000000000000000000000000000000s",
        "340282366920938463463374607431768211455h",
    ] {
        assert_eq!(parse_duration(text), None, "for {text:?}");
    }
}

#[test]
fn no_tokens_make_the_parser_panic_and_its_output_is_always_an_expression() {
    const PIECES: [&str; 32] = [
        "workers",
        "seed",
        "seeds",
        "debug",
        "virtual_time",
        "crate",
        "thread_name",
        "wrkers",
        "shutdown_grace",
        "=",
        "=",
        "=",
        "=",
        ",",
        ",",
        ",",
        "1",
        "0",
        "\"1s\"",
        "\"\\0\"",
        "..",
        "..=",
        "-",
        "::",
        "a",
        "{}",
        "{ 1 }",
        "(,)",
        "<",
        "true",
        "'a",
        "!",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let mut accepted = 0;
    for _ in 0..5_000 {
        let length = 1 + next(10);
        let source: Vec<_> = (0..length).map(|_| PIECES[next(PIECES.len())]).collect();
        let (args, errors) = parse(Attribute::Test, &source.join(" "));
        accepted += usize::from(errors.is_empty());
        for setting in args.builder_settings() {
            let value = setting.value.to_token_stream();
            syn::parse2::<syn::Expr>(value).expect("an expression");
        }
    }
    assert!(accepted > 25, "only {accepted} of the random sources were right");
}

#[test]
fn a_raw_name_is_not_an_option() {
    let name = Ident::new_raw("workers", Span::call_site());
    let mut errors = Errors::default();
    Args::parse(quote!(#name = 1), Attribute::Main, &mut errors);
    assert!(messages(&errors)[0].starts_with("unknown option `r#workers`"));
}
