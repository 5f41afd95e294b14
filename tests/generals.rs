//! The example as a user runs it: its last line and its exit code.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// `cargo test` builds all examples, beside the folder of the tests.
fn generals() -> Command {
    let path = std::env::current_exe()
        .ok()
        .and_then(|test| Some(test.parent()?.parent()?.join("examples").join(format!("generals{}", std::env::consts::EXE_SUFFIX))))
        .filter(|path| path.is_file())
        .expect("the example is not there: run `cargo build --example generals` first, in the same profile");
    Command::new(path)
}

/// A file of `count` lines, some of them empty, some of them equal.
fn lines(name: &str, count: usize) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let text: String = (0..count).map(|line| if line % 7 == 3 { "\n".to_owned() } else { format!("attack at {}\n", line % 24) }).collect();
    std::fs::write(&path, text).expect("the tests' folder for temporary files can be written");
    path
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}

/// Runs with these options behind the file; gives all of the output, after it was found to end in agreement on `count` orders.
fn agrees(name: &str, count: usize, options: &[&str]) -> String {
    let output = generals().arg(lines(name, count)).args(options).output().expect("the example runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = last_line(&output);
    let digest = last.strip_prefix(&format!("AGREED {count} orders, log ")).unwrap_or_else(|| panic!("{options:?}:\n{text}"));
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{last}");
    assert_eq!(output.status.code(), Some(0), "{text}");
    text
}

#[test]
fn equivocating_first_primary_is_proved_and_replaced() {
    let text = agrees("equivocate", 500, &[]);
    assert!(text.contains("general 0 contradicted himself"), "{text}");
    assert!(text.contains("general 3: 500 orders"), "{text}");
}

#[test]
fn a_run_is_drawn_with_its_lies() {
    let page = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("run.html");
    let text = agrees("drawn", 20, &["--picture", page.to_str().expect("a name")]);
    assert!(text.contains("drawn: ") && !text.contains("no picture"), "{text}");
    // To draw it every tape was played, and did the same again.
    let page = std::fs::read_to_string(page).expect("a page");
    for word in ["PrePrepare", "decided", "evidence", "entered"] {
        assert!(page.contains(word), "{word}");
    }
}

#[test]
fn silent_first_primary_is_replaced() {
    let text = agrees("silent", 300, &["--traitor", "0=silent"]);
    assert!(text.contains("general 0: no loyal general ever heard from him"), "{text}");
}

#[test]
fn forger_is_not_believed() {
    agrees("forge", 300, &["--traitor", "0=forge"]);
}

#[test]
fn garbage_is_counted_at_its_connection() {
    let text = agrees("garbage", 300, &["--traitor=2=garbage"]);
    assert!(text.contains("general 2: ") && text.contains("pieces of garbage"), "{text}");
}

#[test]
fn late_backup_holds_nobody_up() {
    agrees("late", 300, &["--traitor", "3=late"]);
}

#[test]
fn two_traitors_of_seven_on_a_lossy_network() {
    agrees("lossy", 300, &["--generals", "7", "--traitor", "0=equivocate", "--traitor", "1=silent", "--loss", "20", "--seed", "7"]);
}

/// How often the general was killed, and that he was started again as often.
fn kills(text: &str, general: u32) -> u32 {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&format!("general {general}: ")));
    let line = lines.nth(1).and_then(|line| line.strip_prefix("  killed ")).unwrap_or_else(|| panic!("{general} was not killed:\n{text}"));
    let count = |text: &str| text.split(' ').next().and_then(|count| count.parse::<u32>().ok()).unwrap_or_else(|| panic!("{line}"));
    let killed = count(line);
    let again = line.split_once("started again ").map(|(_, again)| count(again));
    assert_eq!(again, Some(killed), "{line}");
    killed
}

#[test]
fn killed_general_catches_up_with_those_who_went_on() {
    let text = agrees("kill", 1000, &["--traitor", "none", "--kill", "2"]);
    assert!(kills(&text, 2) > 0, "{text}");
    assert!(text.contains(" stable checkpoints"), "{text}");
    assert!(!text.contains("general 1: killed"), "{text}");
}

#[test]
fn killed_general_beside_a_traitor() {
    for (name, traitor) in [("kill-equivocate", "0=equivocate"), ("kill-silent", "3=silent"), ("kill-forge", "1=forge")] {
        let text = agrees(name, 200, &["--traitor", traitor, "--kill", "2", "--seed", "3"]);
        assert!(kills(&text, 2) > 0, "{text}");
    }
}

#[test]
fn two_generals_of_four_killed_now_the_one_and_now_the_other() {
    let text = agrees("kill-two", 200, &["--traitor=none", "--kill=0", "--kill=1", "--loss=2"]);
    assert!(kills(&text, 0) > 0 && kills(&text, 1) > 0, "{text}");
}

#[test]
fn all_generals_killed_at_once() {
    for (name, traitor) in [("kill-all", "none"), ("kill-all-traitor", "3=equivocate")] {
        let text = agrees(name, 300, &["--kill", "all", "--traitor", traitor]);
        assert!((0..3).all(|general| kills(&text, general) > 0), "{text}");
    }
}

#[test]
fn one_general_agrees_with_himself() {
    agrees("alone", 100, &["--generals", "1"]);
}

#[test]
fn two_equivocators_of_four_may_divide_the_loyal_and_it_is_said() {
    let options = ["--traitor", "0=equivocate", "--traitor", "1=equivocate", "--patience", "5"];
    let output = generals().arg(lines("fork", 50)).args(options).output().expect("the example runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("nothing is promised"), "{text}");
    // Most often both halves have decided before they hear of each other, or one meets the other's certificate. More rarely one meets the other's new view, or
    // all wait for a quorum that there is no more. It may also go well.
    let last = last_line(&output);
    let agreed = last.starts_with("AGREED 50 orders");
    let ends = ["decided differently", "HALTED: I1:", "HALTED: I2:", "HALTED: I7:", "DISAGREED stalled"];
    assert!(agreed || ends.iter().any(|end| last.contains(end)), "{text}");
    assert_eq!(output.status.code(), Some(i32::from(!agreed)), "{text}");
}

#[test]
fn too_many_silent_traitors_stall_and_it_is_said() {
    let options = ["--traitor", "0=silent", "--traitor", "1=silent", "--patience", "2"];
    let output = generals().arg(lines("stall", 50)).args(options).output().expect("the example runs");
    assert!(last_line(&output).starts_with("DISAGREED stalled"), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_is_wrong_is_refused_in_one_line() {
    let fine = lines("fine", 3);
    let table: &[(&[&str], &str)] = &[
        (&["--generals", "0"], "from 1 to 100"),
        (&["--generals", "101"], "from 1 to 100"),
        (&["--generals", "four"], "from 1 to 100"),
        (&["--generals"], "needs a value"),
        (&["--loss", "91"], "from 0 to 90"),
        (&["--seed", "-1"], "from 0 to"),
        (&["--traitor", "4=silent"], "no such general"),
        (&["--traitor", "0=kind"], "unknown behaviour"),
        (&["--traitor", "0"], "ID=BEHAVIOUR"),
        (&["--traitor", "1=late", "--traitor", "1=late"], "named twice"),
        (&["--traitor", "none", "--traitor", "1=late"], "general 1 is named"),
        (&["--kill"], "needs a value"),
        (&["--kill", "4"], "no such general"),
        (&["--kill", "4", "--kill", "all"], "no such general"),
        (&["--kill", "two"], "a general's number is wanted, or all"),
        (&["--kill", "2", "--kill", "2"], "named twice"),
        (&["--kill", "2", "--kill", "all"], "need not be named"),
        (&["--kill", "0"], "he is a traitor (equivocate)"),
        (&["--kill", "1", "--traitor", "1=late"], "only loyal generals are killed"),
        (&["--attack"], "unknown option"),
        (&["-x"], "unknown option"),
        (&["another.txt"], "one file"),
    ];
    for (options, says) in table {
        refused(generals().arg(&fine).args(*options), says);
    }
    refused(generals().arg("/nonexistent/orders"), "/nonexistent/orders");
    refused(generals().arg(env!("CARGO_TARGET_TMPDIR")), env!("CARGO_TARGET_TMPDIR"));
}

#[test]
fn input_that_is_no_text_is_refused_in_one_line() {
    let table: &[(&[u8], &str)] = &[(b"a\xff\n", "byte 2"), (b"one\ntwo\0\n", "byte 8 is NUL"), (&[b'x'; 70_000], "line 1 is too long")];
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no-text");
    for (bytes, says) in table {
        std::fs::write(&path, bytes).expect("the tests' folder for temporary files can be written");
        refused(generals().arg(&path), says);
    }
}

fn refused(command: &mut Command, says: &str) {
    let output = command.stdin(Stdio::null()).output().expect("the example runs");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{command:?}: {complaint}");
    assert_eq!(complaint.lines().count(), 1, "{command:?}: {complaint}");
    assert!(complaint.contains(says), "{command:?}: {complaint}");
    assert!(output.stdout.is_empty(), "{command:?}");
}

#[test]
fn orders_come_from_standard_input_too() {
    let mut command = generals();
    let mut child =
        command.args(["-", "--traitor", "1=silent"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the example runs");
    child.stdin.take().expect("a pipe").write_all(b"one\n\nthree, without an end").expect("the example reads");
    let output = child.wait_with_output().expect("the example ends");
    assert!(last_line(&output).starts_with("AGREED 3 orders, log "), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(0));
}
