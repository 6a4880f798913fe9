//! Every command of the README works as it stands there.

use std::{path::Path, process::Command};

use plimsoll::{
    durability::{Failure, Mode},
    metrics::Label,
};

use crate::common::{PLIMSOLL, Server};

/// Commands that `.ci/run` runs: they build, or run for minutes.
const BY_CI: [&str; 2] = ["cargo run --release -- demo", "cargo test --release"];

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_readmes_commands_work() {
    let (readme, ci) = (file("README.md"), file(".ci/run"));
    let commands = blocks(&readme, "sh");
    assert!(commands.len() >= 6, "{commands:?}");
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let has_curl = Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success());
    for command in &commands {
        if let Some(known) = BY_CI.iter().find(|known| command.trim() == **known) {
            assert!(ci.contains(known), ".ci/run does not run {known:?}");
        } else if command.contains("plimsoll serve") {
            check_serve(command);
        } else if command.contains("curl") && !has_curl {
            println!("skipped: curl is not installed, so this was not run: {command}");
        } else {
            let output = run(command, &server);
            assert!(output.contains(expected(command)), "{command}\ngives {output}");
        }
    }
}

/// What must be in a command's output.
fn expected(command: &str) -> &'static str {
    match command {
        write if write.contains("/write") => "accepted-samples: 4",
        query if query.contains("query_range") => r#"[1795154460,"21.6"]"#,
        query if query.contains("plimsoll query") => "2026-11-20 06:01:00  21.7",
        active if active.contains("/active_queries") => r#"{"status":"success","data":[]}"#,
        top if top.contains("/top_queries") => r#""query":"room_temperature""#,
        receipt if receipt.contains("/receipt") => r#""receipt":"safe""#,
        switch if switch.contains("/admin/") => r#""mode":"wal-interval=500ms""#,
        risk if risk.contains("/api/v1/durability") => r#""power_safe":1"#,
        other => panic!("no expectation for {other:?}"),
    }
}

fn run(command: &str, server: &Server) -> String {
    let command = command
        .replace("http://127.0.0.1:8086", &format!("http://{}", server.address))
        .replace("plimsoll query", &format!("plimsoll query --url http://{}", server.address))
        .replace("./target/release/plimsoll", PLIMSOLL);
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_readmes_table_of_modes_is_the_programs() {
    let mut table = String::from(
        "| `--durability` | how | a write waits for | a process crash takes at most | a power cut takes at most |\n\
         |---|---|---|---|---|\n",
    );
    for mode in Mode::ALL {
        let (help, ack) = (mode.help(), mode.policy().ack.text());
        let [process, power] = [Failure::Process, Failure::Power].map(|failure| mode.takes(failure));
        table += &format!("| `{mode}` | {help} | {ack} | {process} | {power} |\n");
    }
    assert!(file("README.md").contains(&table), "the README's table should be\n{table}");
}

#[test]
fn every_flag_the_readme_names_is_one() {
    let help = Command::new(PLIMSOLL).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let readme = file("README.md");
    let named: Vec<_> = readme.split("`--").skip(1).map(|rest| rest.split(['`', ' ']).next().unwrap()).collect();
    let of_crashtest = ["mode", "rounds", "duration", "seed"];
    for flag in named.iter().filter(|flag| !of_crashtest.contains(flag)) {
        assert!(help.contains(&format!("--{flag} ")) || help.contains(&format!("--{flag}\n")), "--{flag}");
    }
    assert!(named.len() > 10, "{named:?}");
}

/// The build is what made this test's binary; the flags are those that every test here starts its server with.
fn check_serve(command: &str) {
    let line = command.lines().last().unwrap();
    let flags: Vec<_> = line.split_whitespace().filter(|word| word.starts_with("--")).collect();
    assert_eq!(flags, ["--data", "--listen"]);
    let help = Command::new(PLIMSOLL).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(flags.iter().all(|flag| help.contains(flag)));
}

#[test]
fn the_readmes_configuration_file_is_understood() {
    let blocks = blocks(&file("README.md"), "toml");
    let config = blocks.iter().find(|block| block.contains("durability")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plimsoll.toml");
    write(&path, config);
    let server = Server::start(&dir.path().join("data"), &["--config", path.to_str().unwrap()]);
    let flags = server.get("/api/v1/status/flags").json();
    assert_eq!(flags["data"]["durability"], "parts=1s");
    assert_eq!(flags["data"]["query-timeout"], "30s");
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
