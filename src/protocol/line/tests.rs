use super::*;

mod claims;
mod properties;
mod vectors;

/// A line as a plain value.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    measurement: String,
    /// Sorted by name.
    tags: Vec<(String, String)>,
    /// Sorted by name.
    fields: Vec<(String, f64)>,
    strings: u32,
    time: i64,
}

/// What a body holds, by the parser and by what `ingest` does with a new key.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    points: Vec<Point>,
    errors: Vec<(u64, Reason, Vec<u8>)>,
    inexact: u32,
}

impl Outcome {
    fn of(body: &[u8]) -> Self {
        Self::with(body, Precision::Nanoseconds, 0)
    }

    fn with(body: &[u8], precision: Precision, now: i64) -> Self {
        let mut parser = Parser::default();
        parser.begin(precision, now);
        let mut outcome = Self::default();
        outcome.add(&mut parser, body);
        outcome
    }

    fn add(&mut self, parser: &mut Parser, chunk: &[u8]) {
        let mut lines = parser.lines(chunk);
        while let Some(line) = lines.next_line() {
            match line.and_then(|line| Point::new(&line).map(|point| (point, line.inexact_integers))) {
                Ok((point, inexact)) => {
                    self.points.push(point);
                    self.inexact += inexact;
                }
                Err(error) => self.errors.push((error.line_number, error.reason, error.text.to_vec())),
            }
        }
    }

    fn reasons(&self) -> Vec<String> {
        self.errors.iter().map(|(_, reason, _)| reason.to_string()).collect()
    }
}

impl Point {
    fn new<'a>(line: &Line<'_, 'a>) -> Result<Self, LineError<'a>> {
        let series = parse_key(line.raw_key).map_err(|error| line.refuse(error))?;
        let tags = series.tags.iter().map(|(name, value)| (&**name, &**value));
        let key =
            crate::model::StreamKey::new(&series.measurement, tags).map_err(|e| line.refuse(KeyError::from(e)))?;
        let shape = line.shape();
        assert_eq!(key.measurement(), shape.measurement());
        let names = shape.fields().iter().map(ToString::to_string);
        let mut fields: Vec<_> = names.zip(line.values.iter().copied()).collect();
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self {
            measurement: key.measurement().to_owned(),
            tags: key.tags().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            fields,
            strings: line.dropped_strings,
            time: line.timestamp,
        })
    }
}
