//! Wrong use of the attributes: what the compiler says, and where.
//!
//! One file per mistake in `tests/ui/`, beside it what must be printed. Run with `TRYBUILD=overwrite`
//! to write those texts anew, and read them: they are the user interface. Right use is in
//! `tests/ui/pass/`, whose programs are run too.

#[test]
fn wrong_use_is_reported_at_the_wrong_token() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/ui/*.rs");
    cases.pass("tests/ui/pass/*.rs");
}
