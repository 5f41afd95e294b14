//! The documents say what is so: their links lead somewhere, and figures that stand in two places are the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: impl AsRef<Path>) -> String {
    let path = root().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if entry.is_dir() && !name.starts_with('.') && !["target", "corpus", "artifacts", "venv"].contains(&name) {
            documents(&entry, found);
        } else if name.ends_with(".md") {
            found.push(entry);
        }
    }
}

/// What a heading is called in an address.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut found = Vec::new();
    documents(root(), &mut found);
    let (mut links, mut dead) = (0, BTreeSet::new());
    for document in &found {
        let text = fs::read_to_string(document).expect("a document");
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") || target.starts_with("crate::") {
                continue;
            }
            links += 1;
            let (file, place) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { document.clone() } else { document.parent().expect("a folder").join(file) };
            // What a release doesn't pack is not there in a package.
            let is_packed = root().join(".ci").exists();
            let is_there = path.exists()
                && (place.is_empty()
                    || fs::read_to_string(&path).is_ok_and(|text| text.lines().any(|line| line.starts_with('#') && anchor(line) == place)));
            if is_packed && !is_there {
                dead.insert(format!("{}: {target}", document.strip_prefix(root()).expect("below").display()));
            }
        }
    }
    assert!(links > 30, "{links}");
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn what_the_front_page_says_of_mutants_is_what_their_table_says() {
    let table = read("tests/README.md");
    let line = table.lines().find(|line| line.contains(" mutants: ")).expect("the table's first line");
    let numbers: Vec<&str> = line.split(|letter: char| !letter.is_ascii_digit()).filter(|word| !word.is_empty()).collect();
    let [all, _, found, _, said, alive] = numbers[..] else { panic!("{line}") };
    assert_eq!(alive, "0", "{line}");
    let says = format!("{all}: {found} found by tests, for {said} it is said why none can");
    assert!(read("README.md").contains(&says), "README.md should say: {says}");
}

#[test]
fn figures_of_the_front_page_stand_in_the_document_that_measures_them() {
    let (front, measured) = (read("README.md"), read("docs/performance.md"));
    let section = front.split("## How fast it is").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let mut compared = 0;
    for line in section.lines().filter(|line| line.starts_with("| ") && line.contains(char::is_numeric)) {
        for cell in line.split('|').skip(2).map(str::trim).filter(|cell| !cell.is_empty()) {
            // Milliseconds there are microseconds here, to as many digits as are shown.
            let is_there =
                match cell.strip_suffix(" ms").map(|number| (number, number.split_once('.').map_or(0, |(_, digits)| digits.len()))) {
                    Some((number, digits)) => {
                        let [shown, step] = [number.parse::<f64>().expect("a number") * 1000.0, 1000.0 / 10_f64.powi(digits as i32)];
                        let values =
                            measured.split('|').filter_map(|cell| cell.split(" µs").next()?.trim().replace(' ', "").parse::<f64>().ok());
                        values.into_iter().any(|value| (value - shown).abs() <= step / 2.0 + 1e-9)
                    }
                    None => measured.contains(cell),
                };
            assert!(is_there, "{cell}, of {line}, is not in docs/performance.md");
            compared += 1;
        }
    }
    assert!(compared >= 12, "{compared}");
}
