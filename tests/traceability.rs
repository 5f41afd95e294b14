//! Every rule and invariant of SPEC.md is found in the code and bears a test, and whatever the code, the tests and the documents refer to is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Files below a folder whose names end so; nothing of builds.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = entry.file_name().expect("a name").to_string_lossy().into_owned();
        if entry.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&entry, ending));
        } else if name.ends_with(ending) {
            found.push(entry);
        }
    }
    found
}

fn text(folder: &str) -> String {
    let found = files(&path(folder), ".rs");
    assert!(found.len() > 5, "{folder}");
    found.iter().map(|file| read(file)).collect()
}

/// SPEC.md, and what has a name in it.
struct Spec {
    text: String,
    /// P1, …, E: the headings of section 7.
    rules: BTreeSet<String>,
    /// I1, …: the rows of the table in 8.4.
    invariants: BTreeSet<String>,
    /// 1, 1.1, …
    sections: BTreeSet<String>,
}

fn spec() -> Spec {
    let text = read(&path("SPEC.md"));
    let first = |line: &str| line.split_whitespace().next().expect("a name").to_owned();
    let heading = |line: &str, mark: &str| line.strip_prefix(mark).map(first);
    let rules = text.lines().filter_map(|line| heading(line, "#### ")).collect();
    let invariants = text.lines().filter_map(|line| heading(line, "| I")).map(|number| format!("I{number}")).collect();
    let sections = text.lines().filter_map(|line| heading(line, "## ").or_else(|| heading(line, "### "))).collect();
    Spec { text, rules, invariants, sections }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character: char| !character.is_ascii_alphanumeric())
}

/// A letter of a rule's or an invariant's, and a number from 1: `V0` is a view.
fn is_name(word: &str) -> bool {
    let number = word.strip_prefix(['P', 'V', 'T', 'D', 'C', 'S', 'I']);
    number.is_some_and(|number| number.len() <= 2 && number.parse().is_ok_and(|number: u32| number > 0))
}

/// Names of tests.
fn tests(text: &str) -> BTreeSet<&str> {
    let after = text.split("#[test]\n").skip(1);
    after.filter_map(|after| after.lines().find_map(|line| line.trim().strip_prefix("fn "))?.split(['(', '<']).next()).collect()
}

#[test]
fn every_rule_is_named_by_code_and_by_a_test() {
    let Spec { rules, .. } = spec();
    for known in
        ["P1", "P2", "P3", "P4", "P5", "P6", "V1", "V2", "V3", "V4", "V5", "T1", "T2", "D1", "D2", "C1", "C2", "C3", "C4", "S1", "S2", "E"]
    {
        assert!(rules.contains(known), "SPEC.md has no rule {known}");
    }
    // The simulator and its oracle are not the replica.
    let code: String = files(&path("src"), ".rs").iter().filter(|file| !file.starts_with(path("src/sim"))).map(|file| read(file)).collect();
    let (code, all) = (words(&code).collect::<BTreeSet<_>>(), text("tests") + &text("src"));
    let tests = tests(&all);
    for rule in &rules {
        assert!(code.contains(rule.as_str()), "no line of src names {rule}");
        assert!(tests.iter().any(|test| test.starts_with(&format!("{}_", rule.to_lowercase()))), "no test bears {rule}");
    }
}

#[test]
fn every_file_of_the_library_is_in_the_map() {
    let map = read(&path("docs/ARCHITECTURE.md"));
    for file in files(&path("src"), ".rs") {
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        let folder = file.parent().and_then(|folder| folder.file_name()).and_then(|name| name.to_str()).expect("a folder");
        let listed = map.contains(&format!("`{name}`")) && (folder == "src" || map.contains(&format!("{folder}/")));
        assert!(listed, "docs/ARCHITECTURE.md has no line for {}", file.display());
    }
}

#[test]
fn every_invariant_is_checked_by_a_test_the_simulator_or_the_model_check() {
    let Spec { invariants, rules, text: whole, .. } = spec();
    assert!(invariants.len() >= 19 && invariants.contains("I1") && invariants.contains("I21"), "{invariants:?}");
    let checks = text("tests") + &text("src/sim") + &text("examples");
    let checks: BTreeSet<&str> = words(&checks).collect();
    for invariant in &invariants {
        let named = checks.contains(invariant.as_str()) || checks.contains(invariant.to_lowercase().as_str());
        assert!(named || text("tests").contains(&format!("fn {}_", invariant.to_lowercase())), "nothing checks {invariant}");
        let row = whole.lines().find(|line| line.starts_with(&format!("| {invariant} |"))).expect("a row");
        let because = row.trim_end_matches('|').rsplit('|').next().expect("a reason");
        let reasons: Vec<&str> = because.split(',').map(str::trim).collect();
        assert!(
            reasons.iter().all(|reason| rules.contains(*reason) || spec().sections.contains(*reason)),
            "{invariant} rests on {because}"
        );
    }
}

#[test]
fn no_rule_invariant_or_section_is_named_that_is_not_there() {
    let Spec { text: whole, rules, invariants, sections } = spec();
    let mut named = vec![(path("SPEC.md"), whole)];
    for folder in ["src", "tests", "examples", "benches", "fuzz/fuzz_targets"] {
        let folder = path(folder);
        if folder.is_dir() {
            named.extend([".rs", ".md", ".py"].iter().flat_map(|ending| files(&folder, ending)).map(|file| (file.clone(), read(&file))));
        }
    }
    let documents =
        [files(&path("docs"), ".md"), ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(path).to_vec()].concat();
    named.extend(documents.into_iter().map(|file| (file.clone(), read(&file))));
    let mut wrong = Vec::new();
    for (file, text) in &named {
        let mut say = |what: &str| wrong.push(format!("{} names {what}, which SPEC.md does not have", file.display()));
        words(text).filter(|word| is_name(word) && !rules.contains(*word) && !invariants.contains(*word)).for_each(&mut say);
        // `SPEC 4.7, 4.8, C3` and `SPEC 2-5`: numbers up to the first thing that is none and no name.
        for (_, after) in text.match_indices("SPEC ").map(|(at, _)| text.split_at(at + 5)) {
            let ends = |letter: char| letter.is_whitespace() || ",-–();:`".contains(letter);
            let listed = after.split(ends).map(|word| word.trim_end_matches('.'));
            let is_number = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
            let listed = listed.filter(|word| !word.is_empty()).take_while(|word| is_number(word) || is_name(word) || *word == "E");
            listed.filter(|word| is_number(word) && !sections.contains(*word)).for_each(&mut say);
        }
        // A test bears a rule, an invariant, or a section: `v3_`, `i11_`, `spec_3_1_`.
        for test in tests(text).into_iter().filter(|_| file.extension().is_some_and(|ending| ending == "rs")) {
            let mut parts = test.split('_');
            let first = parts.next().unwrap_or_default().to_uppercase();
            if is_name(&first) && !rules.contains(&first) && !invariants.contains(&first) {
                say(test);
            }
            if first == "SPEC" {
                let numbers: Vec<&str> = parts.take_while(|part| part.len() == 1 && part.parse::<u8>().is_ok()).take(2).collect();
                if !sections.contains(&numbers.join(".")) {
                    say(test);
                }
            }
        }
    }
    // In SPEC.md itself a section stands in brackets: (3.3).
    let whole = &named[0].1;
    for inside in whole.split('(').skip(1).filter_map(|after| after.split(')').next()) {
        let is_section =
            |word: &&str| word.len() <= 3 && word.split_once('.').is_some_and(|(left, right)| left.len() == 1 && right.len() == 1);
        let words =
            inside.split([',', ' ']).filter(is_section).filter(|word| word.chars().all(|letter| letter.is_ascii_digit() || letter == '.'));
        wrong.extend(words.filter(|word| !sections.contains(*word)).map(|word| format!("SPEC.md refers to ({word})")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_test_that_the_fault_list_names_exists() {
    let list = read(&path("tests/README.md"));
    let tests = text("tests") + &text("src");
    let named: Vec<&str> = list.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('`').skip(1).step_by(2)).collect();
    // Bounds and commands are quoted in the same way.
    let named: Vec<&str> = named.into_iter().filter(|name| !name.contains([' ', '=', '/'])).collect();
    assert!(named.len() > 100);
    for test in named {
        assert!(tests.contains(&format!("fn {test}(")), "tests/README.md names {test}, and there is no such test");
    }
}

/// What a mutant takes out of the code stands there once, or nobody would see any more whether a test finds it.
#[test]
fn every_mutant_fits_the_code() {
    let (mutants, mut wrong) = (read(&path("tests/mutants/mutants.txt")), Vec::new());
    for mutant in mutants.split("\n\n") {
        let (mut file, mut old): (Option<String>, Vec<&str>) = (None, Vec::new());
        for line in mutant.lines().chain(["end"]) {
            if let Some(taken) = line.strip_prefix("- ") {
                old.push(taken);
                continue;
            }
            if let (Some(code), false) = (&file, old.is_empty()) {
                let times = code.matches(&old.join("\n")).count();
                if times != 1 {
                    wrong.push(format!("{}\n  {} stands there {times} times", mutant.lines().next().unwrap_or_default(), old.join("\n  ")));
                }
            }
            old.clear();
            file = line.strip_prefix("file ").map(|name| read(&path(name))).or(file);
        }
    }
    assert!(wrong.is_empty(), "tests/mutants/mutants.txt:\n{}", wrong.join("\n"));
}
