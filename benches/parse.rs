//! Line protocol to values: bodies of 1,000 lines, parsed whole and warm by one connection's parser.
//!
//! "in frames" has the bodies come in pieces of 64 KiB, as sockets give them. "and look-up" adds what `ingest` does with
//! each line: a keyed 128-bit hash of the raw key, found in a table.

#[path = "common/mod.rs"]
#[allow(unreachable_pub)] // shared by all benches, each of them a crate
mod common;
#[path = "common/devops.rs"]
#[allow(unreachable_pub)] // the same
mod devops;

use std::{fmt::Write as _, hint::black_box};

use common::Case;
use devops::FIELD_NAMES;
use hashbrown::HashTable;
use plimsoll::protocol::line::{DEFAULT_LINE_MAX, Frames, Parser, Precision};
use xxhash_rust::xxh3::xxh3_128_with_seed;

const LINES: usize = 1_000;
const BODIES: usize = 20;
const ROUNDS: usize = 31;
const START: i64 = 1_451_606_400_000_000_000;

/// Bodies of one kind, and how many samples (values) they carry.
struct Input {
    name: &'static str,
    bodies: Vec<Vec<u8>>,
    samples: usize,
}

impl Input {
    fn new(name: &'static str, mut line: impl FnMut(&mut String, usize, i64)) -> Self {
        let body = |round: usize| {
            let mut text = String::new();
            (0..LINES).for_each(|stream| line(&mut text, stream, START + round as i64 * 10_000_000_000));
            text.into_bytes()
        };
        let bodies: Vec<_> = (0..BODIES).map(body).collect();
        let samples = bodies.iter().map(|body| parse(&mut Parser::default(), body, |_| ())).sum();
        Self { name, bodies, samples }
    }

    fn bytes(&self) -> usize {
        self.bodies.iter().map(Vec::len).sum()
    }
}

/// Parses a body and answers how many values it has.
#[inline(always)]
fn parse(parser: &mut Parser, body: &[u8], stream: impl FnMut(&[u8])) -> usize {
    parser.begin(Precision::Nanoseconds, START);
    parse_chunk(parser, body, stream)
}

#[inline(always)]
fn parse_chunk(parser: &mut Parser, body: &[u8], mut stream: impl FnMut(&[u8])) -> usize {
    let mut lines = parser.lines(body);
    let (mut samples, mut times, mut values) = (0, 0_i64, 0.0);
    while let Some(line) = lines.next_line() {
        let line = line.expect("the generator writes valid lines");
        stream(line.raw_key);
        samples += line.values.len();
        times = times.wrapping_add(line.timestamp);
        values += line.values.last().copied().unwrap_or(0.0);
    }
    black_box((times, values));
    samples
}

fn fields(text: &mut String, names: &[&str], mut value: impl FnMut(&mut String)) {
    for (index, name) in names.iter().enumerate() {
        text.push(if index == 0 { ' ' } else { ',' });
        text.push_str(name);
        text.push('=');
        value(text);
    }
}

/// What a Telegraf with its usual inputs interleaves, strings included.
fn telegraf_line(text: &mut String, random: &mut fastrand::Rng, stream: usize, time: i64) {
    let host = format!("host=server-{:03}.example.org", stream / 10);
    let mut float = |text: &mut String| write!(text, "{}", random.f64() * 100.0).expect("a String takes all");
    match stream % 10 {
        0..4 => {
            write!(text, "cpu,cpu=cpu{},{host}", stream % 10).expect("a String takes all");
            fields(text, &FIELD_NAMES, float);
        }
        4..6 => {
            write!(text, "disk,device=sda{},fstype=ext4,{host},mode=rw,path=/", stream % 10)
                .expect("a String takes all");
            let names = ["free", "inodes_free", "inodes_total", "inodes_used", "total", "used"];
            fields(text, &names, |text| write!(text, "{}i", random.u64(..1 << 40)).expect("a String takes all"));
        }
        6 => {
            write!(text, "mem,{host}").expect("a String takes all");
            let names = ["active", "available", "buffered", "cached", "free", "total", "used", "inactive"];
            fields(text, &names, |text| write!(text, "{}i", random.u64(..1 << 36)).expect("a String takes all"));
        }
        7 => {
            write!(text, "system,{host} load1=").expect("a String takes all");
            float(text);
            text.push_str(",uptime=8123i,uptime_format=\" 2:15\"");
        }
        8 => {
            write!(text, "processes,{host}").expect("a String takes all");
            let names = ["blocked", "running", "sleeping", "stopped", "total", "zombies", "unknown", "idle"];
            fields(text, &names, |text| write!(text, "{}i", random.u32(..500)).expect("a String takes all"));
        }
        _ => {
            write!(text, "net,{host},interface=eth0").expect("a String takes all");
            let names = ["bytes_recv", "bytes_sent", "drop_in", "drop_out", "packets_recv", "packets_sent"];
            fields(text, &names, |text| write!(text, "{}i", random.u64(..1 << 44)).expect("a String takes all"));
        }
    }
    writeln!(text, " {time}").expect("a String takes all");
}

fn inputs() -> Vec<Input> {
    let mut random = fastrand::Rng::with_seed(42);
    let mut int = random.fork();
    let mut float = random.fork();
    let mut one = random.fork();
    vec![
        Input::new("devops, integers", |text, stream, time| {
            write!(text, "cpu,{}", devops::tags(stream)).expect("a String takes all");
            fields(text, &FIELD_NAMES, |text| write!(text, "{}i", int.u32(..=100)).expect("a String takes all"));
            writeln!(text, " {time}").expect("a String takes all");
        }),
        Input::new("devops, two decimals", |text, stream, time| {
            write!(text, "cpu,{}", devops::tags(stream)).expect("a String takes all");
            fields(text, &FIELD_NAMES, |text| {
                write!(text, "{:.2}", float.f64() * 100.0).expect("a String takes all");
            });
            writeln!(text, " {time}").expect("a String takes all");
        }),
        Input::new("one field a line", |text, stream, time| {
            writeln!(text, "temperature,sensor=s{stream},site=berlin value={:.1} {time}", one.f64() * 40.0)
                .expect("a String takes all");
        }),
        Input::new("telegraf, mixed", |text, stream, time| telegraf_line(text, &mut random, stream, time)),
    ]
}

/// `cargo bench --bench parse -- TEXT` runs the inputs whose name holds TEXT.
fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--")).unwrap_or_default();
    let mut inputs = inputs();
    inputs.retain(|input| input.name.contains(&wanted));
    let mut cases = Vec::new();
    for input in &inputs {
        let mut parser = Parser::default();
        cases.push(case(input, "", move |body| parse(&mut parser, body, |_| ())));
        let (mut parser, mut frames) = (Parser::default(), Frames::new(DEFAULT_LINE_MAX));
        cases.push(case(input, " in frames", move |body| {
            parser.begin(Precision::Nanoseconds, START);
            let mut samples = 0;
            for frame in body.chunks(64 << 10) {
                frames.push(frame, |lines| samples += parse_chunk(&mut parser, lines, |_| ()));
            }
            frames.finish(|lines| samples += parse_chunk(&mut parser, lines, |_| ()));
            samples
        }));
        let mut parser = Parser::default();
        let mut table = HashTable::<(u128, u32)>::new();
        cases.push(case(input, " and look-up", move |body| {
            parse(&mut parser, body, |key| {
                let hash = xxh3_128_with_seed(key, 0x5eed);
                let next = table.len() as u32;
                let entry = table.entry(hash as u64, |entry| entry.0 == hash, |entry| entry.0 as u64);
                black_box(entry.or_insert((hash, next)).get().1);
            })
        }));
    }
    for input in &inputs {
        let lines = (input.bodies.len() * LINES) as f64;
        println!(
            "{:<24} {:5.0} bytes, {:4.1} samples a line",
            input.name,
            input.bytes() as f64 / lines,
            input.samples as f64 / lines
        );
    }
    common::interleaved("line protocol", "sample", ROUNDS, cases);
}

fn case<'a>(input: &'a Input, suffix: &str, mut parse: impl FnMut(&[u8]) -> usize + 'a) -> Case<'a> {
    Case {
        name: format!("{}{suffix}", input.name),
        units: input.samples as f64,
        bytes: input.bytes() as f64,
        run: Box::new(move || {
            let samples: usize = input.bodies.iter().map(|body| parse(body)).sum();
            assert_eq!(samples, input.samples);
        }),
    }
}
