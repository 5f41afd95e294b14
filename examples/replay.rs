//! Plays tapes of replicas' lives again: the same inputs, and the same outputs, or a word about where they part.
//!
//! `cargo run --release --features tape --example replay -- TAPE... [--words] [--picture FILE]`
//!
//! A host makes a tape with `Node::open_taped` or `tape::Recorder`, and a simulation with `Net::taped`. `--words` prints each input and what came of it;
//! `--picture` draws all of them as one HTML page.

use logothete::tape::{Tape, picture};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Vec<String>) -> Result<(), String> {
    let words = arguments.iter().position(|word| word == "--words").map(|at| arguments.remove(at)).is_some();
    let drawn = match arguments.iter().position(|word| word == "--picture") {
        Some(at) if at + 1 < arguments.len() => arguments.drain(at..at + 2).nth(1),
        Some(_) => return Err("--picture needs a file, for example --picture run.html".to_owned()),
        None => None,
    };
    if arguments.is_empty() {
        return Err("which tapes?".to_owned());
    }
    let mut tapes = Vec::new();
    for file in &arguments {
        let bytes = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
        let tape = Tape::read(&bytes).map_err(|error| format!("{file}: {error}"))?;
        tape.play(|moment| {
            if words {
                println!("{:?} {}", moment.at(), moment.told());
                moment.outputs().iter().for_each(|output| println!("    {output}"));
            }
        })
        .map_err(|parted| format!("{file}: {parted}"))?;
        println!("{file}: {tape:?}: all the same");
        tapes.push(tape);
    }
    if let Some(file) = drawn {
        let page = picture("replay", &tapes).map_err(|error| error.to_string())?;
        std::fs::write(&file, page).map_err(|error| format!("{file}: {error}"))?;
        println!("drawn: {file}");
    }
    Ok(())
}
