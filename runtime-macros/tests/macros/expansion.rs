//! What the attributes make of a function.

use proc_macro2::TokenStream;
use quote::quote;

use crate::args::Attribute;
use crate::expand::expand;

/// Both sides as text, so that a difference is readable.
#[track_caller]
fn assert_expands(attribute: Attribute, options: TokenStream, item: TokenStream, to: TokenStream) {
    let expanded = expand(attribute, options, item);
    // The formatter puts last commas into the longer ones of the expectations.
    assert_eq!(expanded.to_string(), to.to_string().replace(" ,)", ")"));
}

/// The texts of the errors, and the item after them.
fn expand_wrong(attribute: Attribute, item: TokenStream) -> (Vec<String>, TokenStream) {
    let file: syn::File = syn::parse2(expand(attribute, quote!(), item)).expect("items");
    let mut errors = Vec::new();
    let mut rest = TokenStream::new();
    for item in file.items {
        match item {
            syn::Item::Macro(call) => {
                errors.push(call.mac.parse_body::<syn::LitStr>().expect("text").value());
            }
            other => rest.extend(quote!(#other)),
        }
    }
    (errors, rest)
}

#[test]
fn main_runs_the_function_on_the_default_runtime() {
    assert_expands(
        Attribute::Main,
        quote!(),
        quote!(
            async fn main() {
                work().await;
            }
        ),
        quote!(
            fn main() {
                #[allow(clippy::unused_async)]
                async fn main() {
                    work().await;
                }
                ::runtime::__private::main(::runtime::Runner::builder(), main())
            }
        ),
    );
}

#[test]
fn test_has_one_worker() {
    assert_expands(
        Attribute::Test,
        quote!(),
        quote!(
            async fn works() {}
        ),
        quote!(
            #[::core::prelude::v1::test]
            fn works() {
                #[allow(clippy::unused_async)]
                async fn works() {}
                ::runtime::__private::test(::runtime::Runner::builder().workers(1), works())
            }
        ),
    );
}

#[test]
fn options_become_calls_on_the_builder() {
    assert_expands(
        Attribute::Test,
        quote!(workers = 3, thread_name = "x", debug, crate = my::rt),
        quote!(
            async fn works() {}
        ),
        quote!(
            #[::core::prelude::v1::test]
            fn works() {
                #[allow(clippy::unused_async)]
                async fn works() {}
                my::rt::__private::test(my::rt::Runner::builder().workers(3).thread_name("x").debug(true), works())
            }
        ),
    );
}

#[test]
fn a_deterministic_main_has_one_worker() {
    for option in [quote!(seed = 7), quote!(virtual_time = true)] {
        let item = quote!(
            async fn main() {}
        );
        let expanded = expand(Attribute::Main, option.clone(), item).to_string();
        assert!(expanded.contains("builder () . workers (1) ."), "{expanded}");
    }
    let item = quote!(
        async fn main() {}
    );
    let expanded = expand(Attribute::Main, quote!(virtual_time = false), item).to_string();
    assert!(!expanded.contains("workers"), "{expanded}");
}

#[test]
fn seeds_run_the_function_once_each_and_drop_the_outer_return_type() {
    assert_expands(
        Attribute::Test,
        quote!(seeds = 3..9, eager_tasks),
        quote!(
            async fn works() -> Result<(), Error> {
                Ok(())
            }
        ),
        quote!(
            #[::core::prelude::v1::test]
            fn works() {
                #[allow(clippy::unused_async)]
                async fn works() -> Result<(), Error> {
                    Ok(())
                }
                ::runtime::testing::for_each_seed(3..9, |seed| {
                    ::runtime::__private::test(
                        ::runtime::Runner::builder().workers(1).eager_tasks(true).seed(seed),
                        works(),
                    )
                })
            }
        ),
    );
}

#[test]
fn everything_around_the_body_stays() {
    assert_expands(
        Attribute::Test,
        quote!(),
        quote!(
            /// Words.
            #[should_panic(expected = "x")]
            #[ignore]
            pub(super) async fn works() -> impl Termination
            where
                String: Clone,
            {
                #![allow(unused)]
                body
            }
        ),
        quote!(
            #[::core::prelude::v1::test]
            #[doc = r" Words."]
            #[should_panic(expected = "x")]
            #[ignore]
            pub(super) fn works() -> impl Termination
            where
                String: Clone,
            {
                #[allow(clippy::unused_async)]
                async fn works() -> impl Termination
                where
                    String: Clone,
                {
                    #![allow(unused)]
                    body
                }
                ::runtime::__private::test(::runtime::Runner::builder().workers(1), works())
            }
        ),
    );
}

#[test]
fn a_body_that_syn_cannot_parse_is_left_alone() {
    let item = quote!(
        async fn main() {
            let new syntax := of tomorrow
        }
    );
    let expanded = expand(Attribute::Main, quote!(), item).to_string();
    assert!(expanded.contains("let new syntax : = of tomorrow"), "{expanded}");
    assert!(!expanded.contains("compile_error"), "{expanded}");
}

#[test]
fn a_function_that_is_not_async_keeps_its_body() {
    let (errors, rest) = expand_wrong(
        Attribute::Main,
        quote!(
            pub fn main() {
                work().await
            }
        ),
    );
    assert_eq!(errors, ["`#[runtime::main]` takes an async function: write `async fn main`"]);
    let stub = quote!(
        #[allow(unused)]
        pub fn main() {
            async fn main() {
                work().await
            }
        }
    );
    assert_eq!(rest.to_string(), stub.to_string());
}

#[test]
fn each_fault_of_a_signature_is_reported() {
    let (errors, rest) = expand_wrong(
        Attribute::Test,
        quote!(
            #[test]
            #[cfg(unix)]
            #[ignore]
            const unsafe extern "C" fn works<'a, T: Clone>(x: &'a T) -> T {
                x.clone()
            }
        ),
    );
    assert_eq!(
        errors,
        [
            "`#[runtime::test]` takes an async function: write `async fn works`",
            "`#[runtime::test]` takes an `async fn` without `const`",
            "`#[runtime::test]` takes an `async fn` without `unsafe`",
            "`#[runtime::test]` takes an `async fn` without `extern \"C\"`",
            "`#[runtime::test]` takes a function without generic parameters",
            "`#[runtime::test]` takes a function without arguments",
            "a second `test` attribute; accepted is `#[runtime::test]` alone",
        ]
    );
    let stub = quote!(
        #[cfg(unix)]
        #[allow(unused)]
        fn works() {
            async unsafe extern "C" fn works<'a, T: Clone>(x: &'a T) -> T {
                x.clone()
            }
        }
    );
    assert_eq!(rest.to_string(), stub.to_string());
}

#[test]
fn faults_of_options_and_signature_come_together() {
    let item = quote!(
        fn main(x: u8) {}
    );
    let expanded = expand(Attribute::Main, quote!(workers = 0, nonsense), item).to_string();
    assert_eq!(expanded.matches("compile_error").count(), 4, "{expanded}");
    assert!(!expanded.contains(":: runtime ::"), "{expanded}");
}

#[test]
fn a_method_keeps_its_receiver() {
    let (errors, rest) = expand_wrong(
        Attribute::Main,
        quote!(
            async fn go(&self) {
                self.x()
            }
        ),
    );
    assert_eq!(errors, ["`#[runtime::main]` takes a function without arguments"]);
    let stub = quote!(
        #[allow(unused)]
        fn go(&self) {}
    );
    assert_eq!(rest.to_string(), stub.to_string());
}

#[test]
fn another_item_is_handed_back_with_an_error() {
    for item in [
        quote!(
            #[derive(Clone)]
            pub struct S;
        ),
        quote!(
            static X: u8 = 0;
        ),
        quote!(
            mod m {}
        ),
    ] {
        let (errors, rest) = expand_wrong(Attribute::Main, item.clone());
        assert_eq!(errors, ["expected an `async fn`"]);
        assert_eq!(rest.to_string(), item.to_string());
    }
    let expanded = expand(
        Attribute::Main,
        quote!(),
        quote!(
            async fn main();
        ),
    )
    .to_string();
    assert!(expanded.contains("expected an `async fn` with a body"), "{expanded}");
}
