//! Markdown, to the terminal and to a file.

use std::{path::Path, process::Command};

/// Says everything twice: at once, and for the file.
#[derive(Default)]
pub struct Markdown {
    text: String,
}

impl Markdown {
    /// A line of text.
    pub fn line(&mut self, text: &str) {
        println!("{text}");
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// A heading.
    pub fn section(&mut self, title: &str) {
        self.line(&format!("\n## {title}\n"));
    }

    /// A table's row.
    pub fn row(&mut self, cells: &[&str]) {
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    /// The rule below a table's head: text to the left, numbers to the right.
    pub fn rule(&mut self, columns: usize) {
        self.line(&format!("|---|{}", "--:|".repeat(columns - 1)));
    }

    /// When this was, and of what.
    pub fn date_and_commit(&mut self) {
        self.line(&format!("- Date: {}", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC")));
        self.line(&format!("- Commit: {}", commit()));
    }

    /// Keeps it.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, &self.text).expect("the repository can be written to");
    }
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let hash = git(&["log", "-1", "--format=%h %s"]).unwrap_or_else(|| "unknown".to_owned());
    let changed = git(&["status", "--porcelain", "--", "src", "Cargo.toml"]).is_some_and(|files| !files.is_empty());
    format!("{}{}", hash.trim(), if changed { " (with changes)" } else { "" })
}
