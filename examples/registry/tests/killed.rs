//! The program, killed at any moment of its first start: it goes on when it is called again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn registry(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry"));
    command.arg(folder).arg("register a.example");
    command
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn said(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn killed_while_it_is_set_up_it_goes_on() {
    for millis in (0..60).step_by(4) {
        let folder = folder(&format!("killed-{millis}"));
        let mut first = registry(&folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        while !folder.exists() && first.try_wait().expect("asked").is_none() {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(millis));
        first.kill().and_then(|()| first.wait()).expect("it can be killed");
        let second = registry(&folder).output().expect("it starts again");
        assert!(second.status.success(), "killed after {millis} ms, then {}", said(&second));
        let _ = fs::remove_dir_all(folder);
    }
}

#[test]
fn a_replica_whose_folder_is_lost_is_not_taken_for_a_new_one() {
    let folder = folder("lost");
    assert!(registry(&folder).output().expect("it starts").status.success());
    fs::remove_dir_all(folder.join("replica-2")).expect("a folder that is there");
    let again = registry(&folder).output().expect("it starts again");
    assert!(!again.status.success() && said(&again).contains("R2: the log of a replica said to recover is empty"), "{}", said(&again));
}
