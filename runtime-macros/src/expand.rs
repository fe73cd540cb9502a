//! From an async function to the function that runs it.
//!
//! The user's function goes unchanged into a plain function of the same name, which starts a
//! runtime and calls it:
//!
//! ```text
//! #[test] fn name() -> Ret {
//!     async fn name() -> Ret { ... }
//!     ::runtime::__private::test(::runtime::Runner::builder().workers(1), name())
//! }
//! ```
//!
//! Because the inner function is a real one and keeps its tokens, the compiler checks its body,
//! its `?` and its return type (`impl Trait` too) as if the attribute were not there, and reports
//! what is wrong at the user's own code.

use proc_macro2::{Group, Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::{Attribute as OuterAttribute, Signature, Token, Visibility, token};

use crate::args::{Args, Attribute, Errors};

/// Expands `attribute`, written with `options` on `item`.
///
/// On errors the result reports all of them and still holds the function, so that its callers
/// and its body draw no errors of their own.
pub(crate) fn expand(attribute: Attribute, options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let args = Args::parse(options, attribute, &mut errors);
    let function = match syn::parse2::<Function>(item.clone()) {
        Ok(function) => function,
        Err(error) => {
            errors.push(error);
            return report(&errors, item);
        }
    };
    function.check(attribute, &mut errors);
    if errors.is_empty() { function.run(attribute, &args) } else { report(&errors, function.stub()) }
}

/// The errors, and the item they are about.
fn report(errors: &Errors, item: TokenStream) -> TokenStream {
    let errors = errors.to_compile_errors();
    quote!(#errors #item)
}

/// A function whose body is left unread: it is the compiler's business, and may use syntax that
/// `syn` does not know yet.
struct Function {
    /// The attributes below ours.
    attrs: Vec<OuterAttribute>,
    /// Its visibility.
    vis: Visibility,
    /// All from `async` to the where-clause.
    sig: Signature,
    /// The body with its braces.
    body: Group,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> syn::Result<Function> {
        let attrs = input.call(OuterAttribute::parse_outer)?;
        let vis = input.parse()?;
        let other_item = input.error("expected an `async fn`");
        let sig = input.parse().map_err(|_| other_item)?;
        if !input.peek(token::Brace) {
            return Err(input.error("expected an `async fn` with a body"));
        }
        let body = input.parse()?;
        Ok(Function { attrs, vis, sig, body })
    }
}

impl Function {
    /// Reports all that keeps the function from being run.
    fn check(&self, attribute: Attribute, errors: &mut Errors) {
        self.check_qualifiers(attribute, errors);
        self.check_parameters(attribute, errors);
        for other in &self.attrs {
            let last = other.path().segments.last();
            if last.is_some_and(|segment| segment.ident == attribute.name()) {
                let name = attribute.name();
                let message = format!("a second `{name}` attribute; accepted is `#[runtime::{name}]` alone");
                errors.at(other, message);
            }
        }
    }

    /// `async` it must be, and nothing else.
    fn check_qualifiers(&self, attribute: Attribute, errors: &mut Errors) {
        let (sig, name) = (&self.sig, attribute.name());
        if sig.asyncness.is_none() {
            errors.at(
                sig.fn_token,
                format!("`#[runtime::{name}]` takes an async function: write `async fn {}`", sig.ident),
            );
        }
        let (constness, unsafety, abi) = (&sig.constness, &sig.unsafety, &sig.abi);
        let others = [
            constness.as_ref().map(ToTokens::to_token_stream),
            unsafety.as_ref().map(ToTokens::to_token_stream),
            abi.as_ref().map(ToTokens::to_token_stream),
        ];
        for tokens in others.into_iter().flatten() {
            let message = format!("`#[runtime::{name}]` takes an `async fn` without `{tokens}`");
            errors.at(tokens, message);
        }
    }

    /// Nobody is there to pass anything.
    fn check_parameters(&self, attribute: Attribute, errors: &mut Errors) {
        let (sig, name) = (&self.sig, attribute.name());
        if !sig.generics.params.is_empty() {
            errors
                .at(&sig.generics.params, format!("`#[runtime::{name}]` takes a function without generic parameters"));
        }
        if !sig.inputs.is_empty() || sig.variadic.is_some() {
            let (inputs, variadic) = (&sig.inputs, &sig.variadic);
            errors.at(quote!(#inputs #variadic), format!("`#[runtime::{name}]` takes a function without arguments"));
        }
    }

    /// The function that runs this one.
    fn run(&self, attribute: Attribute, args: &Args) -> TokenStream {
        let Function { attrs, vis, sig, body } = self;
        let Signature { ident, generics, .. } = sig;
        let bounds = &generics.where_clause;
        let test = (attribute == Attribute::Test).then(|| quote!(#[::core::prelude::v1::test]));
        let seeds = args.get("seeds").map(|setting| &setting.value);
        // The seeds are run by a function that looks at each result itself.
        let output = seeds.is_none().then_some(&sig.output);
        let krate = krate(args);
        let call = call(attribute, args, ident);
        let call = match seeds {
            None => call,
            Some(seeds) => {
                let seed = seed();
                quote!(#krate::testing::for_each_seed(#seeds, |#seed| { #call }))
            }
        };
        quote! {
            #test
            #(#attrs)*
            #vis fn #ident() #output #bounds {
                // It must be `async` even if nothing in it waits.
                #[allow(clippy::unused_async)]
                #sig #body
                #call
            }
        }
    }

    /// The function in a shape that compiles whatever was wrong with it, and does nothing.
    fn stub(&self) -> TokenStream {
        let Function { attrs, vis, sig, body } = self;
        let ident = &sig.ident;
        let cfgs = attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
        if let Some(receiver) = sig.receiver() {
            // No inner function can have a `self`.
            return quote!(#(#cfgs)* #[allow(unused)] #vis fn #ident(#receiver) {});
        }
        let mut sig = sig.clone();
        sig.constness = None;
        sig.asyncness = Some(Token![async](sig.fn_token.span));
        quote! {
            #(#cfgs)*
            #[allow(unused)]
            #vis fn #ident() {
                #sig #body
            }
        }
    }
}

/// The path to the facade.
fn krate(args: &Args) -> TokenStream {
    match &args.krate {
        Some(path) => path.to_token_stream(),
        None => quote!(::runtime),
    }
}

/// The variable that holds the seed of a run, which no name in the user's code can mean.
fn seed() -> Ident {
    Ident::new("seed", Span::mixed_site())
}

/// The call that runs `function` once, on a runtime built from the options.
fn call(attribute: Attribute, args: &Args, function: &Ident) -> TokenStream {
    let krate = krate(args);
    let entry = Ident::new(attribute.name(), Span::call_site());
    let wants_one_worker = attribute == Attribute::Test || args.deterministic().is_some();
    let one_worker = (wants_one_worker && args.get("workers").is_none()).then(|| quote!(.workers(1)));
    let methods = args.builder_settings().map(|setting| {
        let (name, value) = (&setting.name, &setting.value);
        quote!(.#name(#value))
    });
    let seed = args.get("seeds").map(|_| {
        let seed = seed();
        quote!(.seed(#seed))
    });
    quote! {
        #krate::__private::#entry(
            #krate::Runner::builder() #one_worker #(#methods)* #seed,
            #function()
        )
    }
}
