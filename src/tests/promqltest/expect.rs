//! What a case must give: `expect` lines and expected values.

use regex::Regex;

use crate::tests::promqltest::{duration, series::SeriesLine};

/// What an `expect` line accepts.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Any,
    Exactly(String),
    Matching(Regex),
}

impl Text {
    pub(super) fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(wanted) => wanted == text,
            Self::Matching(regex) => regex.is_match(text),
        }
    }
}

/// What must be said about a result.
#[derive(Clone, Debug, Default)]
pub(super) struct Remarks {
    /// Each must match a remark, and each remark one of them.
    pub wanted: Vec<Text>,
    /// There must be none.
    pub none: bool,
}

/// Evenly spaced times, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub start: i64,
    pub end: i64,
    pub step: i64,
}

impl Times {
    pub(super) fn of(captures: &regex::Captures<'_>, first: usize) -> Option<Self> {
        let at = |index: usize| duration(&captures[first + index]);
        Some(Self { start: at(0)?, end: at(1)?, step: at(2)? })
    }
}

/// All that a case's body says.
#[derive(Clone, Debug, Default)]
pub(super) struct Expectation {
    pub fail: Option<Text>,
    pub ordered: bool,
    pub warnings: Remarks,
    pub infos: Remarks,
    pub string: Option<String>,
    pub range_vector: Option<Times>,
    pub scalar: Option<f64>,
    pub series: Vec<SeriesLine>,
}

impl Expectation {
    /// Takes in an `expect …` line.
    pub(super) fn take(&mut self, line: &str) -> Result<(), String> {
        if let Some(text) = line.strip_prefix("expect string ") {
            let unquoted = text.strip_prefix(['"', '`']).and_then(|text| text.strip_suffix(['"', '`']));
            self.string = Some(unquoted.ok_or("not a quoted string")?.to_owned());
            return Ok(());
        }
        if let Some(times) = line.strip_prefix("expect range vector ") {
            let pattern = Regex::new(r"^from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)$").unwrap();
            let captures = pattern.captures(times).ok_or("not the times of a range vector")?;
            self.range_vector = Some(Times::of(&captures, 1).ok_or("not a time")?);
            return Ok(());
        }
        let pattern =
            Regex::new(r"^expect\s+(fail|ordered|warn|no_warn|info|no_info)(?:\s+(msg|regex):(.+))?$").unwrap();
        let captures = pattern.captures(line).ok_or_else(|| format!("not an expectation: {line}"))?;
        let text = match captures.get(2).map(|kind| kind.as_str()) {
            None => Text::Any,
            Some("msg") => Text::Exactly(captures[3].trim().to_owned()),
            Some(_) => Text::Matching(Regex::new(captures[3].trim()).map_err(|error| error.to_string())?),
        };
        self.take_kind(&captures[1], text)
    }

    /// Takes in what stands behind `expect`, or behind `eval_`.
    pub(super) fn take_kind(&mut self, kind: &str, text: Text) -> Result<(), String> {
        match kind {
            "fail" if self.fail.is_some() => return Err("two expectations of failure".to_owned()),
            "fail" => self.fail = Some(text),
            "ordered" => self.ordered = true,
            "warn" => self.warnings.wanted.push(text),
            "no_warn" => self.warnings.none = true,
            "info" => self.infos.wanted.push(text),
            "no_info" => self.infos.none = true,
            kind => return Err(format!("not an expectation: {kind}")),
        }
        Ok(())
    }
}
