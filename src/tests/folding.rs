//! Pages that a crash left in containers, folded step by step.

use std::{sync::Arc, time::Duration};

use crate::{
    disk::{CrashKind, SimDisk},
    durability::Mode,
    engine::Engine,
    model::{Labels, MatchOp, Matcher, TimeRange, Unlimited},
    select::{Request, Series, Source, View},
    tests::stored,
};

const DAY: i64 = 86_400_000_000_000;
/// More than twice what one step takes of a day.
const COMMITS: i64 = 600;

fn read(engine: &Arc<Engine>) -> Vec<Series> {
    let everything = [Matcher::new("__name__", MatchOp::Regex, ".+").unwrap()];
    let mut series: Vec<_> =
        View::new(engine).select(&everything, TimeRange::ALL).unwrap().map(Result::unwrap).collect();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    series
}

fn pages(engine: &Engine) -> usize {
    engine.parts().iter().filter(|part| part.own_file().is_none()).count()
}

fn restart(disk: &SimDisk, engine: Arc<Engine>) -> Arc<Engine> {
    drop(engine);
    disk.crash(CrashKind::PowerNone);
    disk.restart();
    stored::open_in(disk, Mode::WriteBehind).unwrap()
}

#[test]
fn very_many_pages_are_folded_in_bounded_steps_and_answers_stay_the_same() {
    let disk = SimDisk::new(1);
    let engine = stored::open_in(&disk, Mode::WriteBehind).unwrap();
    for commit in 0..COMMITS {
        // Each time once more the sample of the turn before: the later commit wins. Some streams come late, or once.
        let times = [commit + 99, commit + 100, DAY + commit];
        let name = if commit % 7 == 0 { format!("late{commit}") } else { "m".to_owned() };
        let series = Series::new(Labels::from([("__name__", name.as_str())]), times, vec![commit as f64; 3]);
        stored::write(&engine, &[series], |_| true);
        assert!(engine.sync_step(Duration::from_secs(commit as u64)));
    }
    let mut engine = restart(&disk, engine);
    let (wanted, mut left, mut steps) = (read(&engine), pages(&engine), 0);
    assert_eq!(left, 2 * COMMITS as usize);
    while left > 0 {
        assert!(engine.flush_step(Duration::from_secs(1_000)).unwrap());
        let now = pages(&engine);
        assert!(left - now <= 2 * 256, "a step took {} pages", left - now);
        left = now;
        assert!(read(&engine) == wanted, "after step {steps}");
        steps += 1;
        if steps == 2 {
            engine = restart(&disk, engine);
            assert_eq!(pages(&engine), left);
            assert!(read(&engine) == wanted, "after a crash in between");
        }
    }
    assert_eq!(steps, 3);
    let engine = restart(&disk, engine);
    assert_eq!((pages(&engine), engine.recovery().replayed_batches), (0, 0));
    assert!(read(&engine) == wanted);
    while engine.compact_step().unwrap() {}
    assert!(read(&engine) == wanted);
}

#[test]
fn commits_that_all_hold_all_series_are_read_in_few_even_batches() {
    const STREAMS: i64 = 700;
    const COMMITS: i64 = 600;
    // A stream is not in every commit.
    let has = |stream, commit| (stream + commit) % 11 != 0;
    let engine = stored::in_commits(COMMITS, |commit| {
        let series = |stream: i64| {
            let labels = Labels::from([("__name__", "m"), ("stream", &stream.to_string())]);
            has(stream, commit).then(|| Series::new(labels, [commit * 1_000], vec![(stream * commit) as f64]))
        };
        (0..STREAMS).filter_map(series).collect()
    });
    let images = pages(&engine);

    let view = View::new(&engine);
    let matchers = [Matcher::new("__name__", MatchOp::Equal, "m").unwrap()];
    let request = Request {
        matchers: &matchers,
        range: TimeRange::ALL,
        series_max: usize::MAX,
        digestible: None,
        allowance: &Unlimited,
    };
    let batches: Vec<Vec<_>> =
        view.batches(&request).unwrap().into_iter().map(|batch| batch.map(Result::unwrap).collect()).collect();
    let sizes: Vec<_> = batches.iter().map(Vec::len).collect();
    assert!((2..=4).contains(&sizes.len()), "{sizes:?}");
    let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
    assert!(most - least < STREAMS as usize / 20, "{sizes:?}");
    let reads = view.reads();
    assert!(reads.blocks_read as usize <= images * sizes.len(), "{reads:?}");
    for series in batches.iter().flatten() {
        let stream: i64 = series.labels.get("stream").parse().unwrap();
        let there: Vec<_> = (0..COMMITS).filter(|&commit| has(stream, commit)).collect();
        assert_eq!(*series.times, there.iter().map(|commit| commit * 1_000).collect::<Vec<_>>());
        assert_eq!(series.values, there.iter().map(|commit| (stream * commit) as f64).collect::<Vec<_>>());
    }
    assert_eq!(sizes.iter().sum::<usize>(), STREAMS as usize);
}
