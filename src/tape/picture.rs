//! One page that shows a run: replicas as lines, messages as arrows between them, and what happened on the way.

use super::player::{Parted, Tape};
use super::scene::{Arrow, Life, Mark, Scene, Stand, scene};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Write as _;

const PAGE: &str = include_str!("picture/page.html");
const SCRIPT: &str = concat!(
    include_str!("picture/data.js"),
    include_str!("picture/pens.js"),
    include_str!("picture/draw.js"),
    include_str!("picture/tell.js"),
    include_str!("picture/move.js"),
);
const PLACE: &str = "/*DATA*/";

/// Plays all tapes and draws them as one HTML page, which needs nothing else: a canvas and a little script. The tapes are of one cluster. Where
/// their hosts' clocks differ, they are set by what was said and heard. A message that a replica took in is an arrow; what it had no use for is not on its tape. An arrow whose sender's tape is there
/// and has nothing of it is marked as a lie; what was refused is shown where it came.
///
/// # Errors
/// [`Parted`] if one of them can't be played.
pub fn picture(title: &str, tapes: &[Tape]) -> Result<String, Parted> {
    let size = tapes.first().map_or(0, |tape| tape.cluster().size());
    let data = data(title, size, &scene(tapes)?);
    Ok(PAGE.replacen(PLACE, &format!("const data = {data};\n{SCRIPT}"), 1))
}

/// The scene as JSON. Times are microseconds from the first.
fn data(title: &str, size: u32, scene: &Scene) -> String {
    let start = scene.lives.iter().map(|life| life.from).min().unwrap_or_default();
    let since = |at: u64| at.saturating_sub(start);
    let mut words = Words::default();
    let mut arrows = Vec::new();
    for Arrow { sent, from, heard, to, kind, view, position, digest, fate, words: text } in &scene.arrows {
        let digest = digest.map_or("null".to_owned(), |digest| words.number(&format!("{digest:?}")).to_string());
        let (kind, text) = (words.number(&format!("{kind:?}")), words.number(text));
        let [from, to] = [from, to].map(|party| number(party.map(u64::from)));
        let (view, position, fate) = (number(*view), number(*position), *fate as u8);
        arrows.push(format!("[{},{from},{},{to},{kind},{view},{position},{digest},{fate},{text}]", since(*sent), since(*heard)));
    }
    let marks = scene.marks.iter().map(|Mark { at, replica, class, position, words: text }| {
        let (class, position, text) = (words.number(class), number(*position), words.number(text));
        format!("[{},{replica},{class},{position},{text}]", since(*at))
    });
    let marks: Vec<String> = marks.collect();
    let lives = scene.lives.iter().map(|Life { replica, from, to, start }| {
        let how = words.number(start);
        format!("[{replica},{},{},{how}]", since(*from), since(*to))
    });
    let lives: Vec<String> = lives.collect();
    let stands = scene.stands.iter().map(|Stand { at, status }| {
        let numbers = [
            status.replica.get().into(),
            since(*at),
            status.view.get(),
            status.normal.into(),
            status.primary.get().into(),
            status.wish.get(),
            status.decided.get(),
            status.executed.get(),
            status.head.get(),
            status.stable.get(),
            status.pool_requests as u64,
            status.blocks as u64,
            u64::from(status.rejoining) + 2 * u64::from(status.diverged.is_some()) + 4 * u64::from(status.halted),
        ];
        format!("[{}]", numbers.map(|number| number.to_string()).join(","))
    });
    let stands: Vec<String> = stands.collect();
    let (arrows, marks, lives, stands) = (arrows.join(",\n"), marks.join(",\n"), lives.join(",\n"), stands.join(",\n"));
    let (title, words) = (quoted(title), words.list.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(","));
    format!(
        "{{\"title\":{title},\"size\":{size},\"words\":[{words}],\n\"lives\":[{lives}],\n\"arrows\":[{arrows}],\n\"marks\":[{marks}],\n\"stands\":[{stands}]}}"
    )
}

fn number(value: Option<u64>) -> String {
    value.map_or("null".to_owned(), |value| value.to_string())
}

/// Texts by number, each once.
#[derive(Default)]
struct Words {
    list: Vec<String>,
    numbers: BTreeMap<String, usize>,
}

impl Words {
    fn number(&mut self, word: &str) -> usize {
        *self.numbers.entry(word.to_owned()).or_insert_with(|| {
            self.list.push(word.to_owned());
            self.list.len() - 1
        })
    }
}

/// As JSON, and so that nothing in it ends a script.
fn quoted(text: &str) -> String {
    let mut out = "\"".to_owned();
    for letter in text.chars() {
        match letter {
            '"' | '\\' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\x1f' => {
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            _ => out.push(letter),
        }
    }
    out + "\""
}
