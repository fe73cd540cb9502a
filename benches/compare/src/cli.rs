//! The command line.

use std::path::PathBuf;

use crate::measure::Config;
use crate::who::Who;
use crate::workloads::{self, Row};

/// What is printed with a mistake.
pub const USAGE: &str = "\
usage:
  compare list
  compare one WORKLOAD WHO [--workers N] [--size-factor K] [--quick]
  compare run [--rounds R] [--filter TEXT,..] [--who NAME,..] [--workers N,..]
              [--size-factor K,..] [--json FILE] [--svg DIR] [--quick]
              [--calm PERCENT]
  compare show FILE [--svg DIR]

WHO is one of: ours tokio executor static-executor floor";

/// What to do.
pub enum Command {
    /// Names the rows.
    List,
    /// Measures in this process.
    One(&'static Row, Who, Config),
    /// Measures in many processes and reports.
    Run(Plan),
    /// Prints the table of a JSON file again, and draws its charts.
    Show(PathBuf, Option<PathBuf>),
}

/// A `run`.
pub struct Plan {
    /// How often everything is measured.
    pub rounds: usize,
    /// The rows to measure.
    pub rows: Vec<&'static Row>,
    /// The columns to measure.
    pub who: Vec<Who>,
    /// Numbers of workers.
    pub workers: Vec<usize>,
    /// Size factors.
    pub sizes: Vec<f64>,
    /// Where to write what was measured.
    pub json: Option<PathBuf>,
    /// Where to draw.
    pub svg: Option<PathBuf>,
    /// A third of the repetitions.
    pub quick: bool,
    /// Measure again when others used more per cent of the machine.
    pub calm: f64,
}

/// Understands the arguments after the program's name.
pub fn parse(arguments: &[String]) -> Result<Command, String> {
    let words = Words::split(arguments)?;
    match words.plain.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => Ok(Command::List),
        ["one", row, who] => one(&words, row, who),
        ["run"] => run(&words).map(Command::Run),
        ["show", file] => Ok(Command::Show(file.into(), words.path("--svg"))),
        _ => Err("what shall I do?".into()),
    }
}

/// Arguments, sorted into words and options.
struct Words {
    /// What is not an option.
    plain: Vec<String>,
    /// Options with their values.
    options: Vec<(String, String)>,
    /// Whether `--quick` was there.
    quick: bool,
}

const OPTIONS: [&str; 8] = ["--rounds", "--filter", "--who", "--workers", "--size-factor", "--calm", "--json", "--svg"];

impl Words {
    fn split(arguments: &[String]) -> Result<Self, String> {
        let mut words = Self { plain: Vec::new(), options: Vec::new(), quick: false };
        let mut arguments = arguments.iter();
        while let Some(word) = arguments.next() {
            if word == "--quick" {
                words.quick = true;
            } else if OPTIONS.contains(&word.as_str()) {
                let value = arguments.next().ok_or(format!("{word} needs a value"))?;
                words.options.push((word.clone(), value.clone()));
            } else if word.starts_with('-') {
                return Err(format!("unknown option {word}"));
            } else {
                words.plain.push(word.clone());
            }
        }
        Ok(words)
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(option, _)| option == name).map(|(_, value)| &**value)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.option(name).map(PathBuf::from)
    }

    /// The values between commas, or `default`.
    fn numbers<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<Vec<T>, String> {
        let Some(text) = self.option(name) else {
            return Ok(vec![default]);
        };
        let number = |word: &str| word.parse().map_err(|_| format!("{name}: not a number: {word}"));
        text.split(',').map(number).collect()
    }

    fn number<T: std::str::FromStr + Copy>(&self, name: &str, default: T) -> Result<T, String> {
        self.numbers(name, default).map(|numbers| numbers[0])
    }
}

fn one(words: &Words, row: &str, who: &str) -> Result<Command, String> {
    let row = workloads::all().find(|known| known.id == row).ok_or(format!("no workload {row}"))?;
    let who = built(who)?;
    let config = Config {
        workers: words.number("--workers", 2)?,
        size_factor: words.number("--size-factor", 1.0)?,
        quick: words.quick,
    };
    Ok(Command::One(row, who, config))
}

fn built(name: &str) -> Result<Who, String> {
    let who = Who::parse(name).ok_or(format!("nobody is called {name}"))?;
    if who.is_built() { Ok(who) } else { Err("build with --features ours for that".into()) }
}

fn run(words: &Words) -> Result<Plan, String> {
    let wanted = |row: &&Row| match words.option("--filter") {
        Some(filters) => filters.split(',').any(|filter| row.id.contains(filter)),
        None => true,
    };
    let rows: Vec<_> = workloads::all().filter(wanted).collect();
    if rows.is_empty() {
        return Err("no workload has that in its name".into());
    }
    let who = match words.option("--who") {
        Some(names) => names.split(',').map(built).collect::<Result<_, _>>()?,
        None => Who::ALL.into_iter().filter(|who| who.is_built()).collect(),
    };
    Ok(Plan {
        rounds: words.number("--rounds", if words.quick { 1 } else { 5 })?,
        rows,
        who,
        workers: words.numbers("--workers", 2)?,
        sizes: words.numbers("--size-factor", 1.0)?,
        json: words.path("--json"),
        svg: words.path("--svg"),
        quick: words.quick,
        calm: words.number("--calm", 100.0)?,
    })
}
