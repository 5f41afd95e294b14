//! What the command line asks for. Everything absurd is refused here, before anything starts.

use crate::traitor::Behaviour;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The text of `--help`.
pub const HELP: &str = "\
Generals on 127.0.0.1 agree on every line of a file, in order, while some of them lie.

usage: cargo run --release --example generals -- [FILE] [OPTIONS]

  FILE                       each line is one order; - reads standard input (default: SPEC.md of this repository)
  --generals N               how many generals, 1 to 100 (default 4)
  --traitor ID=BEHAVIOUR     general ID, counted from 0, is a traitor; may be repeated
                             (default: 0=equivocate, or nobody where fewer than four generals stand no traitor)
  --traitor none             nobody is a traitor
  --kill ID                  general ID is killed and started again, over and over, while orders flow; may be repeated
  --kill all                 all loyal generals are killed at once, a few times
  --loss PERCENT             lose so many of the messages between generals, 0 to 90 (default 0)
  --seed S                   seed of the generals' keys and of the dice of loss, traitors and the killer (default 1)
  --picture FILE             draw the run as one HTML page: who said what to whom, and when
  --patience SECONDS         give up when so long no order was completed (default 60)
  --help                     this text

behaviours:
  silent       never says a word
  equivocate   signs two contradictory statements: as primary two proposals, one for each half of the backups
  forge        bad signatures, votes in others' names, certificates and new views made up
  late         says everything just short of the others' timeout
  garbage      random, cut and mutated bytes, in floods

The last line is `AGREED <orders> orders, log <digest>` (exit 0) or `DISAGREED <why>` (exit 1). Wrong arguments or input: exit 2.";

const GENERALS_MAX: u32 = 100;
const LOSS_MAX: u8 = 90;
const PATIENCE_MAX: u64 = 86_400;

/// Where the orders come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This repository's own specification.
    Specification,
    /// A file.
    File(PathBuf),
    /// Standard input.
    StandardInput,
}

/// Who is killed.
#[derive(Clone, Debug, Default)]
pub struct Victims {
    pub ids: BTreeSet<u32>,
    /// All at the same instant, or each on his own.
    pub together: bool,
}

/// A run, as asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    pub source: Source,
    pub generals: u32,
    pub traitors: BTreeMap<u32, Behaviour>,
    pub victims: Victims,
    pub loss: u8,
    pub seed: u64,
    pub patience: Duration,
    pub picture: Option<PathBuf>,
}

/// What to do.
pub enum Command {
    Help,
    Run(Settings),
}

/// Reads the arguments behind the program's name.
///
/// # Errors
/// One line that says which argument is wrong, and what would be right.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut settings = Settings {
        source: Source::Specification,
        generals: 4,
        traitors: BTreeMap::new(),
        victims: Victims::default(),
        loss: 0,
        seed: 1,
        patience: Duration::from_secs(60),
        picture: None,
    };
    let mut file = None;
    let mut nobody = false;
    let mut only_files = false;
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let Some(text) = argument.to_str().filter(|text| !only_files && text.starts_with('-') && *text != "-") else {
            if file.is_some() {
                return Err(format!("one file at a time, not also {:?}", argument.to_string_lossy()));
            }
            // Behind `--`, a file may have any name.
            file = Some(if argument == "-" && !only_files { Source::StandardInput } else { Source::File(argument.into()) });
            continue;
        };
        // Both `--loss 20` and `--loss=20`; a traitor's own `=` comes later in the text.
        let (option, inline) = match text.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (text, None),
        };
        let mut value = |example: &str| match inline.clone() {
            Some(value) => Ok(value),
            None => match arguments.next() {
                Some(value) => value.into_string().map_err(|value| format!("{option} {value:?}: not a text")),
                None => Err(format!("{option} needs a value, for example {option} {example}")),
            },
        };
        match option {
            "--help" | "-h" => return Ok(Command::Help),
            "--generals" => settings.generals = number(option, &value("7")?, 1, GENERALS_MAX)?,
            "--loss" => settings.loss = number(option, &value("20")?, 0, LOSS_MAX)?,
            "--seed" => settings.seed = number(option, &value("42")?, 0, u64::MAX)?,
            "--patience" => settings.patience = Duration::from_secs(number(option, &value("60")?, 1, PATIENCE_MAX)?),
            "--picture" => settings.picture = Some(value("run.html")?.into()),
            "--traitor" => match value("0=silent")?.as_str() {
                "none" => nobody = true,
                named => {
                    let (id, behaviour) = traitor(named)?;
                    if settings.traitors.insert(id, behaviour).is_some() {
                        return Err(format!("--traitor {id}: named twice; a traitor has one behaviour"));
                    }
                }
            },
            "--kill" => match value("2")?.as_str() {
                "all" => settings.victims.together = true,
                named => {
                    let id = named.parse().map_err(|_| format!("--kill {named:?}: a general's number is wanted, or all"))?;
                    if !settings.victims.ids.insert(id) {
                        return Err(format!("--kill {id}: named twice; he is killed over and over as it is"));
                    }
                }
            },
            "--" => only_files = true,
            _ => return Err(format!("unknown option {text}; --help lists all")),
        }
    }
    if let Some(source) = file {
        settings.source = source;
    }
    cast(&mut settings, nobody)?;
    Ok(Command::Run(settings))
}

/// Gives everybody his part: a general is a traitor, a victim or neither.
fn cast(settings: &mut Settings, nobody: bool) -> Result<(), String> {
    let Settings { generals, traitors, victims, .. } = settings;
    let known = |option: &str, mut ids: Box<dyn Iterator<Item = &u32> + '_>| match ids.find(|id| **id >= *generals) {
        Some(id) => Err(format!("{option} {id}: there is no such general, the last of {generals} is {}", *generals - 1)),
        None => Ok(()),
    };
    known("--traitor", Box::new(traitors.keys()))?;
    known("--kill", Box::new(victims.ids.iter()))?;
    match traitors.keys().next() {
        Some(id) if nobody => return Err(format!("--traitor none: general {id} is named as one")),
        None if *generals >= 4 && !nobody => drop(traitors.insert(0, Behaviour::Equivocate)),
        _ => {}
    }
    if let Some((id, behaviour)) = traitors.iter().find(|(id, _)| victims.ids.contains(id)) {
        return Err(format!(
            "--kill {id}: he is a traitor ({}), and only loyal generals are killed; --traitor says who is one",
            behaviour.name()
        ));
    }
    match victims.ids.first() {
        Some(id) if victims.together => Err(format!("--kill all: that is general {id} too, who need not be named")),
        _ => {
            if victims.together {
                victims.ids.extend((0..*generals).filter(|id| !traitors.contains_key(id)));
            }
            Ok(())
        }
    }
}

fn number<T: TryFrom<u64> + Into<u64> + Copy>(option: &str, text: &str, least: T, most: T) -> Result<T, String> {
    let (least, most): (u64, u64) = (least.into(), most.into());
    text.parse::<u64>()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("{option} {text:?}: a whole number from {least} to {most} is wanted"))
}

fn traitor(text: &str) -> Result<(u32, Behaviour), String> {
    let (id, behaviour) =
        text.split_once('=').ok_or_else(|| format!("--traitor {text:?}: write it as ID=BEHAVIOUR, for example 0=silent"))?;
    let id = id.parse().map_err(|_| format!("--traitor {text:?}: {id:?} is not a general's number"))?;
    let behaviour = Behaviour::from_name(behaviour).ok_or_else(|| {
        let known: Vec<_> = Behaviour::ALL.iter().map(|known| known.name()).collect();
        format!("--traitor {text:?}: unknown behaviour {behaviour:?}; there are {}", known.join(", "))
    })?;
    Ok((id, behaviour))
}
