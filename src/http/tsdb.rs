//! `status/tsdb`: what the index and the parts hold, in the words of Prometheus's storage.

use serde_json::{Value, json};

use crate::{
    engine::{Engine, StoredPart},
    http::{
        error::Error,
        params::{Params, parse_integer},
        reply::Reply,
        routes::{Call, asked},
        shared::Weight,
        status::success,
    },
    model::NANOS_PER_MILLI,
};

/// Entries of each list where the client does not say.
const LIMIT_USUAL: usize = 10;
/// Entries of each list at most: the answer is made in one piece.
const LIMIT_MAX: i64 = 10_000;

/// `status/tsdb`: sizes of the whole index, on disk and in memory. A chunk is one of our blocks.
pub(super) async fn status(call: Call) -> Result<Reply, Error> {
    let limit = limit(&call.url_params()?)?;
    let engine = std::sync::Arc::clone(&call.server.engine);
    let asked = asked(&call.server, &call.head, "tsdb", "");
    let look_up = call.server.look_up(asked, Weight::Heavy, move |_, allowance| {
        engine.index().streams.cardinality(&engine.index().schema, limit, allowance)
    });
    let (sizes, _) = look_up.await?;
    let (first, last, chunks) = extent(&call.server.engine);
    let list = |entries: Vec<(String, u64)>| {
        entries.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Value>()
    };
    let data = json!({
        "headStats": {
            "numSeries": sizes.series, "numLabelPairs": sizes.label_pairs, "chunkCount": chunks,
            "minTime": first, "maxTime": last,
        },
        "seriesCountByMetricName": list(sizes.series_by_metric),
        "labelValueCountByLabelName": list(sizes.values_by_label),
        "memoryInBytesByLabelName": list(sizes.bytes_by_label),
        "seriesCountByLabelValuePair": list(sizes.series_by_pair),
    });
    success(&call, &data)
}

fn limit(params: &Params) -> Result<usize, Error> {
    match params.non_empty("limit").map(parse_integer) {
        None => Ok(LIMIT_USUAL),
        Some(Ok(limit)) if limit > 0 => Ok(limit.min(LIMIT_MAX) as usize),
        Some(_) => Err(Error::bad_data("limit must be a positive number")),
    }
}

/// First and last time in milliseconds, as Prometheus has them where there is nothing yet; and the number of blocks.
fn extent(engine: &Engine) -> (i64, i64, u64) {
    let (parts, generations) = (engine.parts(), engine.generations());
    let stored = parts.iter().map(|stored| (stored.summary.min_time, stored.summary.max_time));
    let held = generations.iter().filter_map(|generation| generation.summary().times);
    let times = stored.chain(held).filter(|(first, last)| first <= last);
    let empty = (i64::MAX, i64::MIN);
    let (first, last) = times.fold(empty, |all, (first, last)| (all.0.min(first), all.1.max(last)));
    let millis = |nanos: i64| if (first, last) == empty { nanos } else { nanos.div_euclid(NANOS_PER_MILLI) };
    (millis(first), millis(last), parts.iter().map(|stored| stored.summary.blocks).sum())
}

/// `status/tsdb/blocks`: what Prometheus calls a block is one of our parts.
pub(super) async fn blocks(call: Call) -> Result<Reply, Error> {
    let blocks: Value = call.server.engine.parts().iter().filter_map(|stored| block(stored)).collect();
    success(&call, &json!({ "blocks": blocks }))
}

/// A part that is a file of its own.
fn block(stored: &StoredPart) -> Option<Value> {
    let (number, summary) = (stored.own_file()?.0, &stored.summary);
    let id = ulid(stored.day.range().start / NANOS_PER_MILLI, number.0);
    Some(json!({
        "ulid": id,
        "minTime": summary.min_time.div_euclid(NANOS_PER_MILLI),
        // Prometheus's blocks end before this time.
        "maxTime": summary.max_time.div_euclid(NANOS_PER_MILLI) + 1,
        "stats": {
            "numSamples": summary.samples, "numFloatSamples": summary.samples, "numSeries": summary.streams,
            "numChunks": summary.blocks,
        },
        "compaction": { "level": 1, "sources": [id] },
        "version": 1,
    }))
}

/// A part's number as a ULID: 48 bits of time, then the number, in base 32.
fn ulid(millis: i64, number: u64) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let bits = (millis.max(0) as u128) << 80 | u128::from(number);
    (0..26).rev().map(|place| char::from(DIGITS[(bits >> (5 * place)) as usize & 31])).collect()
}
