//! Writes `testdata/demo.lp.gz`: six hours of metrics of 24 hosts, the same bytes at every run.
//!
//! ```text
//! cargo run --release --example generate_demo
//! ```
//!
//! Three things happen in it. `web-07` runs hot from 08:30 to 10:00. `/var` of `db-02` fills up all day and nearly
//! reaches its end. `cache-03` restarts at 09:10: three minutes are missing, and its counters begin at zero again.

use std::{fmt::Write as _, io::Write as _, path::Path};

use fastrand::Rng;
use flate2::{Compression, GzBuilder};

/// 2026-11-20T06:00:00Z
const START: i64 = 1_795_154_400;
const SECONDS: i64 = 6 * 3600;
const INTERVAL: i64 = 20;
const DISK_INTERVAL: i64 = 60;
const SEED: u64 = 20_261_120;
const GIB: f64 = (1_u64 << 30) as f64;

struct Host {
    name: String,
    role: &'static str,
    region: &'static str,
    index: usize,
    /// Where its load stands between idle (0) and busy (1); wanders.
    load: f64,
    mem_used: f64,
    booted: i64,
    counters: [f64; 4],
    rng: Rng,
}

fn main() -> std::io::Result<()> {
    let mut hosts = hosts();
    let mut text = String::new();
    for time in (START..START + SECONDS).step_by(INTERVAL as usize) {
        for host in &mut hosts {
            host.step(time, &mut text);
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/demo.lp.gz");
    let mut packer = GzBuilder::new().write(Vec::new(), Compression::best());
    packer.write_all(text.as_bytes())?;
    let packed = packer.finish()?;
    println!("{} lines, {} bytes, packed {} bytes", text.lines().count(), text.len(), packed.len());
    write_file(&path, &packed)
}

#[allow(clippy::disallowed_methods)] // not the database's own files
fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::write(path, bytes)
}

fn hosts() -> Vec<Host> {
    let roles = [("web", 12), ("db", 6), ("cache", 6)];
    let mut hosts = Vec::new();
    for (role, count) in roles {
        for number in 1..=count {
            let index = hosts.len();
            let mut rng = Rng::with_seed(SEED + index as u64);
            hosts.push(Host {
                name: format!("{role}-{number:02}"),
                role,
                region: ["eu", "us", "ap"][index % 3],
                index,
                load: 0.2 + 0.2 * rng.f64(),
                mem_used: (6.0 + 4.0 * rng.f64()) * GIB,
                booted: START - rng.i64(86_400..40 * 86_400),
                counters: [0.0; 4].map(|_| (rng.f64() * 1e10).round()),
                rng,
            });
        }
    }
    hosts
}

impl Host {
    fn step(&mut self, time: i64, out: &mut String) {
        let second = time - START;
        if self.name == "cache-03" && (11_400..11_580).contains(&second) {
            self.counters = [0.0; 4];
            self.booted = START + 11_570;
            return;
        }
        let hour = second as f64 / 3600.0;
        // A morning's slope, the same for all, and a walk of its own that is pulled back to the middle.
        self.load += (0.3 - self.load) * 0.02 + (self.rng.f64() - 0.5) * 0.04;
        let load = (self.load + 0.08 * hour / 6.0).clamp(0.02, 0.9);
        let load = if self.name == "web-07" && (2.5..4.0).contains(&hour) { 0.9 + 0.08 * self.rng.f64() } else { load };
        self.cpu(time, load, out);
        self.memory(time, load, out);
        self.network(time, hour, load, out);
        if second % DISK_INTERVAL == 0 {
            self.disks(time, hour, out);
        }
    }

    fn cpu(&mut self, time: i64, load: f64, out: &mut String) {
        let user = 100.0 * load * (0.92 + 0.08 * self.rng.f64());
        let system = (100.0 - user) * 0.12 * self.rng.f64();
        let iowait = (100.0 - user - system) * 0.05 * self.rng.f64();
        let [user, system, iowait] = [user, system, iowait].map(|v| (v * 10.0).round() / 10.0);
        let idle = ((100.0 - user - system - iowait) * 10.0).round() / 10.0;
        self.line(
            "cpu",
            time,
            format_args!("usage_user={user},usage_system={system},usage_iowait={iowait},usage_idle={idle}"),
            out,
        );
        let load1 = (load * 800.0 + 60.0 * self.rng.f64()).round() / 100.0;
        let uptime = time - self.booted;
        self.line("system", time, format_args!("load1={load1},uptime={uptime}i"), out);
    }

    fn memory(&mut self, time: i64, load: f64, out: &mut String) {
        const TOTAL: f64 = 16.0 * GIB;
        self.mem_used += (load - 0.3) * 4e6 + (self.rng.f64() - 0.5) * 2e7;
        self.mem_used = self.mem_used.clamp(2.0 * GIB, 15.0 * GIB);
        // Memory comes in pages.
        let used = (self.mem_used / 4096.0).round() * 4096.0;
        let percent = (used / TOTAL * 1000.0).round() / 10.0;
        self.line("mem", time, format_args!("used={used}i,used_percent={percent}"), out);
    }

    fn network(&mut self, time: i64, hour: f64, load: f64, out: &mut String) {
        // Databases copy themselves away for ten minutes, every two hours: 07:20, 09:20, 11:20.
        let is_backup = self.role == "db" && (4.0 / 3.0..=1.5).contains(&(hour % 2.0));
        let rate = 2e5 + 4e6 * load * (0.8 + 0.4 * self.rng.f64());
        let received = rate * INTERVAL as f64;
        let sent = if is_backup { 9e7 * INTERVAL as f64 } else { received * (1.5 + 0.5 * self.rng.f64()) };
        for (counter, grown) in self.counters.iter_mut().zip([received, sent, received / 900.0, sent / 1200.0]) {
            *counter = (*counter + grown).round();
        }
        let [recv, sent, packets_recv, packets_sent] = self.counters;
        self.line(
            "net",
            time,
            format_args!(
                "bytes_recv={recv}i,bytes_sent={sent}i,packets_recv={packets_recv}i,packets_sent={packets_sent}i"
            ),
            out,
        );
    }

    fn disks(&mut self, time: i64, hour: f64, out: &mut String) {
        let base = 30.0 + 2.0 * (self.index % 10) as f64;
        let var = if self.name == "db-02" { 61.0 + 6.2 * hour } else { base + 0.3 * hour };
        for (path, percent, total) in [("/", base / 2.0, 64.0 * GIB), ("/var", var, 512.0 * GIB)] {
            let used = (total * percent / 100.0 / 4096.0 + self.rng.f64() * 500.0).round() * 4096.0;
            let percent = (used / total * 10_000.0).round() / 100.0;
            let tags = format!("disk,host={},path={path},region={},role={}", self.name, self.region, self.role);
            writeln!(out, "{tags} used={used}i,used_percent={percent} {time}").expect("a String takes all text");
        }
    }

    fn line(&self, measurement: &str, time: i64, fields: std::fmt::Arguments<'_>, out: &mut String) {
        let tags = format!("host={},region={},role={}", self.name, self.region, self.role);
        writeln!(out, "{measurement},{tags} {fields} {time}").expect("a String takes all text");
    }
}
