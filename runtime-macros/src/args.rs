//! The options of an attribute: a table of them, and a parser that reports every wrong token.
//!
//! This file needs nothing from the rest of the crate, so that a fuzz target or a test can
//! include it by `#[path]` and feed [`Args::parse`] whatever `TokenStream` it likes.

use std::time::Duration;

use proc_macro2::{Ident, Literal, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::parse::Parser;
use syn::{Error, Expr, ExprRange, Lit, LitInt, LitStr, Path, Stmt};

/// Which of the two attributes is being expanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// `#[runtime::main]`.
    Main,
    /// `#[runtime::test]`.
    Test,
}

impl Attribute {
    /// The last segment of the path under which users write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Attribute::Main => "main",
            Attribute::Test => "test",
        }
    }
}

/// What kind of value an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A `usize` of at least one.
    Count,
    /// A `usize`.
    Size,
    /// A `u64`.
    Number,
    /// A string without NUL, for the name of a thread.
    Text,
    /// A duration, written as a string.
    Span,
    /// `true`, `false`, or the bare name for `true`.
    Flag,
    /// How many seeds, or a range of them.
    Seeds,
    /// The path to the `runtime` crate.
    Crate,
}

impl Kind {
    /// The literal that this kind takes, in words.
    fn literal(self) -> &'static str {
        match self {
            Kind::Count => "an integer of at least 1",
            Kind::Size | Kind::Number => "an integer",
            Kind::Text => "a string without NUL",
            Kind::Span => "a duration in a string (units: ns, us, ms, s, m, h)",
            Kind::Flag => "nothing, `true` or `false`",
            Kind::Seeds => "a number of seeds or a range that is not empty",
            Kind::Crate => "a path without quotes",
        }
    }

    /// The type of a path or block given instead of the literal; `None` where none may be.
    fn code(self) -> Option<&'static str> {
        match self {
            Kind::Count | Kind::Size => Some("usize"),
            Kind::Number => Some("u64"),
            Kind::Text => Some("&str"),
            Kind::Span => Some("Duration"),
            Kind::Flag => Some("bool"),
            Kind::Seeds => Some("impl IntoIterator<Item = u64>"),
            Kind::Crate => None,
        }
    }
}

/// One row of the table of options.
#[derive(Debug)]
struct Spec {
    /// As users write it; for all but `seeds` and `crate` also the builder's method.
    name: &'static str,
    /// What it takes.
    kind: Kind,
    /// A right use, for error messages.
    example: &'static str,
}

/// Shortens the table below.
const fn spec(name: &'static str, kind: Kind, example: &'static str) -> Spec {
    Spec { name, kind, example }
}

/// Every option, in the order in which error messages list them.
static SPECS: [Spec; 14] = [
    spec("workers", Kind::Count, "workers = 4"),
    spec("thread_name", Kind::Text, "thread_name = \"io\""),
    spec("thread_stack_size", Kind::Size, "thread_stack_size = 2_097_152"),
    spec("max_blocking_threads", Kind::Size, "max_blocking_threads = 64"),
    spec("blocking_keep_alive", Kind::Span, "blocking_keep_alive = \"10s\""),
    spec("debug", Kind::Flag, "debug = true"),
    spec("slow_poll_threshold", Kind::Span, "slow_poll_threshold = \"100ms\""),
    spec("handle_interrupts", Kind::Flag, "handle_interrupts = false"),
    spec("shutdown_grace", Kind::Span, "shutdown_grace = \"2s\""),
    spec("virtual_time", Kind::Flag, "virtual_time = true"),
    spec("seed", Kind::Number, "seed = 7"),
    spec("eager_tasks", Kind::Flag, "eager_tasks = true"),
    spec("seeds", Kind::Seeds, "seeds = 0..100"),
    spec("crate", Kind::Crate, "crate = my_crate::runtime"),
];

/// Names that other runtimes use, too far from ours to be found by their spelling.
static FOREIGN: [(&str, &str); 5] = [
    ("flavor", "workers"),
    ("worker_threads", "workers"),
    ("start_paused", "virtual_time"),
    ("stack_size", "thread_stack_size"),
    ("name", "thread_name"),
];

impl Spec {
    /// Whether `attribute` has this option.
    fn is_for(&self, attribute: Attribute) -> bool {
        self.kind != Kind::Seeds || attribute == Attribute::Test
    }

    /// What the option accepts, as a sentence.
    fn accepts(&self) -> String {
        let Spec { name, kind, example } = self;
        let literal = kind.literal();
        let code = kind.code().map_or(String::new(), |code| {
            format!("; also the path of a constant, or an expression in braces, of type `{code}`")
        });
        format!("`{name}` takes {literal}, as in `{example}`{code}")
    }
}

/// The errors found so far, which are all reported together.
#[derive(Debug, Default)]
pub(crate) struct Errors(Option<Error>);

impl Errors {
    /// Adds one.
    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            none => *none = Some(error),
        }
    }

    /// Adds one that covers `tokens`.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.push(Error::new_spanned(tokens, message));
    }

    /// Whether nothing was wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// All of them, as the code that makes the compiler report them.
    pub(crate) fn to_compile_errors(&self) -> TokenStream {
        self.0.as_ref().map(Error::to_compile_error).unwrap_or_default()
    }
}

/// The value of one option.
pub(crate) enum Value {
    /// A checked integer.
    Int(u64, Span),
    /// A checked string.
    Text(LitStr),
    /// A duration, read from its string.
    Duration(Duration, Span),
    /// A flag.
    Bool(bool, Span),
    /// What only the compiler can check: a path, a block or a range.
    Code(TokenStream),
}

impl ToTokens for Value {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Value::Int(value, span) => {
                let mut literal = Literal::u64_unsuffixed(*value);
                literal.set_span(*span);
                literal.to_tokens(tokens);
            }
            Value::Text(text) => text.to_tokens(tokens),
            Value::Duration(value, span) => {
                let (seconds, nanos) = (value.as_secs(), value.subsec_nanos());
                let new = quote_spanned!(*span=> ::core::time::Duration::new(#seconds, #nanos));
                new.to_tokens(tokens);
            }
            Value::Bool(value, span) => Ident::new(&value.to_string(), *span).to_tokens(tokens),
            Value::Code(code) => code.to_tokens(tokens),
        }
    }
}

/// One option as given.
pub(crate) struct Setting {
    /// Its name, where the user wrote it.
    pub(crate) name: Ident,
    /// Its value.
    pub(crate) value: Value,
}

/// All options of one attribute.
#[derive(Default)]
pub(crate) struct Args {
    /// What `crate` names.
    pub(crate) krate: Option<Path>,
    /// The others, in the order given, each name once.
    settings: Vec<Setting>,
}

impl Args {
    /// Reads the tokens between the brackets of `attribute`.
    ///
    /// What is wrong goes to `errors`, and the rest is read all the same.
    pub(crate) fn parse(tokens: TokenStream, attribute: Attribute, errors: &mut Errors) -> Args {
        let mut args = Args::default();
        let mut seen = Vec::new();
        for piece in split_at_commas(tokens, errors) {
            let outcome = Entry::parse(piece, attribute)
                .and_then(|entry| entry.once(&mut seen))
                .and_then(|entry| args.add(entry));
            if let Err(error) = outcome {
                errors.push(error);
            }
        }
        args.check_one_worker(errors);
        args.check_one_kind_of_seed(errors);
        args
    }

    /// The option of this name, if it was given.
    pub(crate) fn get(&self, name: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.name == name)
    }

    /// The options that are methods of the builder.
    pub(crate) fn builder_settings(&self) -> impl Iterator<Item = &Setting> {
        self.settings.iter().filter(|setting| setting.name != "seeds")
    }

    /// The option that makes the order of tasks deterministic, which takes a single worker.
    pub(crate) fn deterministic(&self) -> Option<&Setting> {
        let is_on = |setting: &&Setting| match setting.name.to_string().as_str() {
            "seed" | "seeds" => true,
            "virtual_time" => matches!(setting.value, Value::Bool(true, _)),
            _ => false,
        };
        self.settings.iter().find(is_on)
    }

    /// Takes in one option whose name is known and new.
    fn add(&mut self, entry: Entry) -> syn::Result<()> {
        if entry.spec.kind == Kind::Crate {
            self.krate = Some(entry.path()?);
        } else {
            let value = entry.value()?;
            let name = entry.name;
            self.settings.push(Setting { name, value });
        }
        Ok(())
    }

    /// Refuses several workers in a deterministic mode.
    fn check_one_worker(&self, errors: &mut Errors) {
        let Some(Setting { value: Value::Int(2.., span), .. }) = self.get("workers") else {
            return;
        };
        if let Some(Setting { name, .. }) = self.deterministic() {
            errors.push(Error::new(
                *span,
                format!(
                    "`{name}` makes the order of tasks deterministic, which takes one worker: \
                     write `workers = 1`, or leave out one of the two"
                ),
            ));
        }
    }

    /// Refuses `seed` beside `seeds`, at the one that comes second.
    fn check_one_kind_of_seed(&self, errors: &mut Errors) {
        let is_seed = |setting: &&Setting| setting.name == "seed" || setting.name == "seeds";
        if let Some(second) = self.settings.iter().filter(is_seed).nth(1) {
            errors.at(
                &second.name,
                "`seed` and `seeds` exclude each other: `seed = 7` runs the test once, \
                 `seeds = 0..100` once under each seed",
            );
        }
    }
}

/// Splits at the commas that are in no brackets; a comma with nothing before it is an error.
fn split_at_commas(tokens: TokenStream, errors: &mut Errors) -> Vec<Vec<TokenTree>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Punct(comma) if comma.as_char() == ',' => {
                if piece.is_empty() {
                    errors.at(comma, "expected an option before this comma");
                } else {
                    pieces.push(std::mem::take(&mut piece));
                }
            }
            other => piece.push(other),
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// One option before its value is looked at.
struct Entry {
    /// The row of the table that it belongs to.
    spec: &'static Spec,
    /// Its name, where the user wrote it.
    name: Ident,
    /// What follows the `=`; `None` after a bare name.
    value: Option<TokenStream>,
}

impl Entry {
    /// Reads `name` or `name = tokens` from the tokens between two commas.
    fn parse(piece: Vec<TokenTree>, attribute: Attribute) -> syn::Result<Entry> {
        let mut tokens = piece.into_iter();
        let name = match tokens.next() {
            Some(TokenTree::Ident(name)) => name,
            other => {
                let found = other.into_iter().collect::<TokenStream>();
                let message = format!("expected the name of an option; {}", accepted(attribute));
                return Err(Error::new_spanned(found, message));
            }
        };
        let spec = find(&name, attribute)?;
        let value = match tokens.next() {
            None if spec.kind == Kind::Flag => None,
            Some(TokenTree::Punct(equals)) if is_lone_equals(&equals, tokens.as_slice()) => Some(tokens.collect()),
            None => return Err(Error::new_spanned(&name, spec.accepts())),
            Some(other) => {
                let message = format!("expected `=` after `{}`; {}", spec.name, spec.accepts());
                return Err(Error::new_spanned(other, message));
            }
        };
        Ok(Entry { spec, name, value })
    }

    /// Passes the option on unless its name was there before.
    fn once(self, seen: &mut Vec<&'static str>) -> syn::Result<Entry> {
        let name = self.spec.name;
        if seen.contains(&name) {
            let message = format!("`{name}` is given twice; accepted once");
            return Err(Error::new_spanned(&self.name, message));
        }
        seen.push(name);
        Ok(self)
    }

    /// The value of any option but `crate`.
    fn value(&self) -> syn::Result<Value> {
        match &self.value {
            None => Ok(Value::Bool(true, self.name.span())),
            Some(tokens) => syn::parse2::<Expr>(tokens.clone())
                .ok()
                .and_then(|expr| self.read(ungroup(expr)))
                .ok_or_else(|| self.refuse()),
        }
    }

    /// The value of `crate`.
    fn path(&self) -> syn::Result<Path> {
        let tokens = self.value.clone().unwrap_or_default();
        let parse = Path::parse_mod_style;
        parse.parse2(tokens).map_err(|_| self.refuse())
    }

    /// The error for a value that is not what the option takes, or is missing.
    fn refuse(&self) -> Error {
        match &self.value {
            Some(value) if !value.is_empty() => Error::new_spanned(value, self.spec.accepts()),
            _ => Error::new_spanned(&self.name, self.spec.accepts()),
        }
    }

    /// Checks a value as far as a macro can; `None` when it is not what the option takes.
    fn read(&self, expr: Expr) -> Option<Value> {
        match (self.spec.kind, expr) {
            (kind, Expr::Lit(literal)) => read_literal(kind, literal.lit),
            (Kind::Seeds, Expr::Range(range)) => read_range(range),
            (_, Expr::Path(path)) => Some(Value::Code(path.into_token_stream())),
            (_, Expr::Block(block)) if block.label.is_none() => {
                Some(Value::Code(match block.block.stmts.as_slice() {
                    // Without its braces, for the lint against needless ones.
                    [Stmt::Expr(expr, None)] => expr.into_token_stream(),
                    _ => block.into_token_stream(),
                }))
            }
            _ => None,
        }
    }
}

/// Whether `punct` is `=` and not the beginning of `==` or `=>`.
fn is_lone_equals(punct: &proc_macro2::Punct, rest: &[TokenTree]) -> bool {
    let joined = |next: &TokenTree| match next {
        TokenTree::Punct(next) => matches!(next.as_char(), '=' | '>'),
        _ => false,
    };
    let is_longer = punct.spacing() == Spacing::Joint && rest.first().is_some_and(joined);
    punct.as_char() == '=' && !is_longer
}

/// Looks an option up, and helps whoever misspelt it.
fn find(name: &Ident, attribute: Attribute) -> syn::Result<&'static Spec> {
    let written = name.to_string();
    match SPECS.iter().find(|spec| spec.name == written) {
        Some(spec) if spec.is_for(attribute) => Ok(spec),
        Some(_) => {
            Err(Error::new_spanned(name, "`seeds` is for `#[runtime::test]`: a program runs once, under `seed = N`"))
        }
        None => {
            let hint = nearest(&written, attribute).map_or(String::new(), |near| format!(", did you mean `{near}`?"));
            let accepted = accepted(attribute);
            let message = format!("unknown option `{written}`{hint}; {accepted}");
            Err(Error::new_spanned(name, message))
        }
    }
}

/// The names of all options of `attribute`, as a clause.
fn accepted(attribute: Attribute) -> String {
    let names: Vec<_> =
        SPECS.iter().filter(|spec| spec.is_for(attribute)).map(|spec| format!("`{}`", spec.name)).collect();
    format!("accepted are {}", names.join(", "))
}

/// The option that `written` was probably meant to be.
fn nearest(written: &str, attribute: Attribute) -> Option<&'static str> {
    if let Some((_, ours)) = FOREIGN.iter().find(|(theirs, _)| *theirs == written) {
        return Some(ours);
    }
    SPECS
        .iter()
        .filter(|spec| spec.is_for(attribute))
        .map(|spec| (distance(written, spec.name), spec.name))
        .min()
        // A third of the letters wrong is still a slip; more is another word.
        .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
        .map(|(_, name)| name)
}

/// How many letters must be put in, taken out or changed to make `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[row.len() - 1]
}

/// Takes off the invisible brackets that `macro_rules!` puts around an argument.
fn ungroup(expr: Expr) -> Expr {
    match expr {
        Expr::Group(group) => ungroup(*group.expr),
        other => other,
    }
}

/// Checks a literal against the kind of its option.
fn read_literal(kind: Kind, literal: Lit) -> Option<Value> {
    match (kind, literal) {
        (Kind::Count, Lit::Int(int)) => read_int(&int, "usize").filter(|_| !is_zero(&int)),
        (Kind::Size, Lit::Int(int)) => read_int(&int, "usize"),
        (Kind::Number, Lit::Int(int)) => read_int(&int, "u64"),
        (Kind::Text, Lit::Str(text)) => {
            let is_plain = text.suffix().is_empty() && !text.value().contains('\0');
            is_plain.then_some(Value::Text(text))
        }
        (Kind::Span, Lit::Str(text)) if text.suffix().is_empty() => {
            let duration = parse_duration(&text.value())?;
            Some(Value::Duration(duration, text.span()))
        }
        (Kind::Flag, Lit::Bool(flag)) => Some(Value::Bool(flag.value, flag.span)),
        (Kind::Seeds, Lit::Int(int)) => {
            let Value::Int(end, span) = read_int(&int, "u64").filter(|_| !is_zero(&int))? else {
                return None;
            };
            Some(Value::Code(quote_spanned!(span=> 0..#end)))
        }
        _ => None,
    }
}

/// Reads an integer that has no suffix or the one of its type.
fn read_int(literal: &LitInt, ty: &str) -> Option<Value> {
    let is_typed = literal.suffix().is_empty() || literal.suffix() == ty;
    let value = literal.base10_parse().ok().filter(|_| is_typed)?;
    Some(Value::Int(value, literal.span()))
}

/// Whether the literal is any spelling of zero.
fn is_zero(literal: &LitInt) -> bool {
    literal.base10_digits() == "0"
}

/// Checks that a range has two ends and, if both are literals, something between them.
fn read_range(range: ExprRange) -> Option<Value> {
    let start = range_end(*range.start.clone()?)?;
    let end = range_end(*range.end.clone()?)?;
    if let (Value::Int(start, _), Value::Int(end, _)) = (start, end) {
        let holds_any = match range.limits {
            syn::RangeLimits::HalfOpen(_) => start < end,
            syn::RangeLimits::Closed(_) => start <= end,
        };
        holds_any.then_some(())?;
    }
    Some(Value::Code(range.into_token_stream()))
}

/// Checks one end of a range of seeds.
fn range_end(expr: Expr) -> Option<Value> {
    match ungroup(expr) {
        Expr::Lit(literal) => read_literal(Kind::Number, literal.lit),
        code @ (Expr::Path(_) | Expr::Block(_)) => Some(Value::Code(code.into_token_stream())),
        _ => None,
    }
}

/// Reads `100ms`, `1.5s` and the like: a decimal number and a unit.
///
/// `None` if the text is anything else, is not a whole number of nanoseconds, or is too long
/// for a [`Duration`].
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    let nanos_per_unit: u128 = match unit.trim_start_matches(' ') {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = parse_digits(whole)?.checked_mul(nanos_per_unit)?;
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction = parse_digits(fraction)?.checked_mul(nanos_per_unit)?;
    if fraction % scale != 0 {
        return None;
    }
    let nanos = whole.checked_add(fraction / scale)?;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, rest))
}

/// Reads decimal digits, of which there must be at least one, and nothing else.
fn parse_digits(digits: &str) -> Option<u128> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}
