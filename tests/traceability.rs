//! Every rule of SPEC.md is found in the code, and bears a test.

use std::fs;
use std::path::{Path, PathBuf};

fn files(folder: &str, found: &mut Vec<PathBuf>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    for entry in fs::read_dir(&root).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            files(&format!("{folder}/{}", entry.file_name().expect("a name").to_string_lossy()), found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
}

fn text(folder: &str) -> String {
    let mut found = Vec::new();
    files(folder, &mut found);
    assert!(found.len() > 5, "{folder}");
    found.iter().map(|file| fs::read_to_string(file).expect("text")).collect()
}

/// The rules in SPEC.md's headings of section 7.
fn rules() -> Vec<String> {
    let spec = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("SPEC.md")).expect("SPEC.md");
    spec.lines()
        .filter_map(|line| line.strip_prefix("#### "))
        .map(|heading| heading.split_whitespace().next().expect("a name").to_string())
        .collect()
}

#[test]
fn every_rule_is_named_by_code_and_by_a_test() {
    let rules = rules();
    for known in
        ["P1", "P2", "P3", "P4", "P5", "V1", "V2", "V3", "V4", "V5", "T1", "T2", "D1", "D2", "C1", "C2", "C3", "C4", "S1", "S2", "E"]
    {
        assert!(rules.iter().any(|rule| rule == known), "SPEC.md has no rule {known}");
    }
    let (code, tests) = (text("src"), text("tests"));
    let words: Vec<&str> = code.split(|character: char| !character.is_ascii_alphanumeric()).collect();
    for rule in &rules {
        assert!(words.contains(&rule.as_str()), "no line of src names {rule}");
        assert!(tests.contains(&format!("\nfn {}_", rule.to_lowercase())), "no test bears {rule}");
    }
}

#[test]
fn every_test_that_the_fault_list_names_exists() {
    let list = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/README.md")).expect("tests/README.md");
    let tests = text("tests") + &text("src");
    let named: Vec<&str> = list.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
    // Bounds and commands are quoted in the same way.
    let named: Vec<&str> = named.into_iter().filter(|name| !name.contains([' ', '=', '/'])).collect();
    assert!(named.len() > 100);
    for test in named {
        assert!(tests.contains(&format!("fn {test}(")), "tests/README.md names {test}, and there is no such test");
    }
}
