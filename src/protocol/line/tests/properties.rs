use proptest::{prelude::*, sample::select};

use super::*;

const PIECES: &[&str] = &[
    "m",
    "cpu",
    ",",
    ",host=a",
    ",t=1",
    " ",
    " ",
    "v=1",
    "v=",
    "w=",
    ",w=2.5",
    ",s=\"x\"",
    "=\"",
    "\"",
    "\\",
    "\\\"",
    "\n",
    "\n",
    "\n",
    "\r\n",
    "#",
    "# \"c\" =\"\n",
    "58i",
    "-0.25",
    "true",
    "1e5",
    "17u",
    "1451606400000000000",
    " 1\n",
    "\t",
    "\0",
    "é",
    "cpu,host=a v=1i,w=2.25 1451606400000000000\n",
    "cpu,host=b v=1i,w=2.25 1451606400000000001\n",
    "cpu,host=a v=\"x\ny\",w=2.25 1451606400000000000\n",
    "m v=12345678901234567890\n",
    "m v=123456.7891,w=7i\n",
];

/// Bodies that are lines more often than not.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        20 => select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// How many lines a body has that are neither blank nor comments, found the slow way, with every rule written out.
fn count_lines(body: &[u8]) -> usize {
    let mut rest = body;
    let mut count = 0;
    while !rest.is_empty() {
        let (length, _) = frames::line_length(rest, DEFAULT_LINE_MAX);
        let line = rest[..length].strip_suffix(b"\r").unwrap_or(&rest[..length]);
        let content = line.iter().find(|byte| !b" \t\0".contains(byte));
        count += usize::from(content.is_some_and(|&byte| byte != b'#'));
        rest = rest.get(length + 1..).unwrap_or_default();
    }
    count
}

/// The outcome with a parser that knows no shape at any line, so that the grammar reads each.
fn by_grammar_alone(body: &[u8]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut rest = body;
    let mut line_number = 0;
    while !rest.is_empty() {
        let length = (frames::line_length(rest, DEFAULT_LINE_MAX).0 + 1).min(rest.len());
        let mut one = Outcome::of(&rest[..length]);
        for error in &mut one.errors {
            error.0 += line_number;
        }
        line_number += rest[..length].iter().filter(|&&byte| byte == b'\n').count() as u64;
        outcome.points.append(&mut one.points);
        outcome.errors.append(&mut one.errors);
        outcome.inexact += one.inexact;
        rest = &rest[length..];
    }
    outcome
}

fn in_frames(body: &[u8], cuts: &[usize], line_max: usize) -> Outcome {
    let mut parser = Parser::new(line_max);
    parser.begin(Precision::Nanoseconds, 0);
    let mut outcome = Outcome::default();
    let mut frames = Frames::new(line_max);
    let mut from = 0;
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
    cuts.sort_unstable();
    for cut in cuts.into_iter().chain([body.len()]) {
        frames.push(&body[from..cut], |chunk| outcome.add(&mut parser, chunk));
        from = cut;
    }
    frames.finish(|chunk| outcome.add(&mut parser, chunk));
    outcome
}

fn in_one_piece(body: &[u8], line_max: usize) -> Outcome {
    let mut parser = Parser::new(line_max);
    parser.begin(Precision::Nanoseconds, 0);
    let mut outcome = Outcome::default();
    outcome.add(&mut parser, body);
    outcome
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_accepted_or_rejected_line_by_line(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let outcome = Outcome::of(&body);
        prop_assert_eq!(outcome.points.len() + outcome.errors.len(), count_lines(&body));
    }

    #[test]
    fn accepted_and_rejected_add_up_to_the_lines(body in bodies()) {
        let outcome = Outcome::of(&body);
        prop_assert_eq!(outcome.points.len() + outcome.errors.len(), count_lines(&body));
    }

    #[test]
    fn known_shapes_and_the_grammar_agree(body in bodies()) {
        prop_assert_eq!(Outcome::of(&body), by_grammar_alone(&body));
    }

    #[test]
    fn numbers_the_short_ways_are_the_grammars(
        text in "-?[0-9]{0,20}(\\.[0-9]{0,20})?(e[-+]?[0-9]{1,2})?[iu]?",
        tail in "[ ,]w=1[ ,\n]{10,20}",
        at in 0_usize..32,
    ) {
        let text = format!("{text}{tail}");
        let padded = format!("{}{text:<64}", "x".repeat(at)).into_bytes();
        let in_window = number::window_value(padded.first_chunk().unwrap(), at).map(|(value, end)| (value, end - at));
        let text = text.as_bytes();
        for (value, length) in [in_window, number::short_value(text)].into_iter().flatten() {
            if !b", \n".contains(&text[length]) {
                continue;
            }
            let (rest, full) = grammar::field_value(text).unwrap();
            prop_assert_eq!(text.len() - rest.len(), length);
            let grammar::Value::Number { value: full, inexact: false } = full else { panic!("{full:?}") };
            prop_assert_eq!(value.to_bits(), full.to_bits());
        }
    }

    #[test]
    fn frames_give_the_same_lines_wherever_they_are_cut(body in bodies(), cuts in prop::collection::vec(any::<usize>(), 0..6)) {
        prop_assert_eq!(in_frames(&body, &cuts, DEFAULT_LINE_MAX), in_one_piece(&body, DEFAULT_LINE_MAX));
    }

    #[test]
    fn frames_never_hold_more_than_a_line_may_have(body in bodies(), cuts in prop::collection::vec(any::<usize>(), 0..6), line_max in 1_usize..60) {
        prop_assert_eq!(in_frames(&body, &cuts, line_max), in_one_piece(&body, line_max));
    }
}

#[test]
fn frames_cut_at_every_byte_of_quotes_escapes_and_comments_give_the_same_lines() {
    let body = b"# \"=\"\nm s=\"a\\\"\n\\\\\",v=1 1\n \t\nm\\ \\,,t\\==\"x v\\=\"=2,s=\"\n\" 2\r\nm v=3 3\nm v=\"open\nm v=4 4\n";
    let whole = in_one_piece(body, DEFAULT_LINE_MAX);
    assert_eq!((whole.points.len(), whole.errors.len()), (4, 1));
    for first in 0..=body.len() {
        for second in first..=body.len() {
            assert_eq!(in_frames(body, &[first, second], DEFAULT_LINE_MAX), whole, "{first} {second}");
        }
    }
}

#[test]
fn of_a_line_without_end_only_the_limit_is_kept_and_the_next_line_is_read() {
    let mut frames = Frames::new(100);
    let mut chunks = Vec::new();
    for frame in ["m v=1\nm s=\"x", &"y\n".repeat(1_000), &"z".repeat(5_000), "\"\nm v=", "2\n"] {
        frames.push(frame.as_bytes(), |chunk| chunks.push(chunk.to_vec()));
    }
    frames.finish(|chunk| chunks.push(chunk.to_vec()));
    assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [6, 101, 6]);
    let mut parser = Parser::new(100);
    parser.begin(Precision::Nanoseconds, 0);
    let mut outcome = Outcome::default();
    chunks.iter().for_each(|chunk| outcome.add(&mut parser, chunk));
    assert_eq!((outcome.points.len(), outcome.reasons()), (2, vec!["line longer than 100 bytes".to_owned()]));
}
