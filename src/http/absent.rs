//! The parts of Prometheus's API that have nothing to tell here: nothing is scraped, no rules are evaluated, line
//! protocol brings neither metadata nor exemplars. Their parameters are checked all the same, so that a client's mistake
//! shows.

use serde_json::json;

use crate::{
    http::{
        error::{Error, Kind},
        params::{Params, parse_integer},
        reply::{self, Reply},
        routes::Call,
        series::selectors,
        status::success,
    },
    promql,
};

macro_rules! constant_answers {
    ($($(#[doc = $doc:literal])+ $name:ident: $json:tt;)+) => {
        $($(#[doc = $doc])+ pub(super) async fn $name(call: Call) -> Result<Reply, Error> {
            success(&call, &json!($json))
        })+
    };
}

constant_answers! {
    /// Alerts: there are none.
    alerts: { "alerts": [] };
    /// Alertmanagers: there are none.
    alertmanagers: { "activeAlertmanagers": [], "droppedAlertmanagers": [] };
    /// Scrape targets: nothing is scraped. Whatever `state` and `scrapePool` ask for, there is none.
    targets: { "activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {} };
    /// Scrape pools: nothing is scraped.
    scrape_pools: { "scrapePools": [] };
    /// Notifications for the people who run the server: our own are in the log and in `/health`.
    notifications: [];
}

/// Notifications as they come: none ever does, and 204 tells a browser's event source not to come back.
pub(super) async fn notifications_live(_: Call) -> Result<Reply, Error> {
    Ok(reply::no_content())
}

/// Recording and alerting rules: there are none.
pub(super) async fn rules(call: Call) -> Result<Reply, Error> {
    let params = call.url_params()?;
    let kind = params.get("type").unwrap_or("").to_lowercase();
    if !matches!(&*kind, "" | "alert" | "record") {
        return Err(Error::parameter("type", format!("not supported value {kind:?}")));
    }
    selectors(&params)?;
    if let Some(text) = params.non_empty("exclude_alerts") {
        // What Go's ParseBool takes.
        if !matches!(text, "1" | "t" | "T" | "TRUE" | "true" | "True" | "0" | "f" | "F" | "FALSE" | "false" | "False") {
            let reason =
                format!("error converting exclude_alerts: strconv.ParseBool: parsing {text:?}: invalid syntax");
            return Err(Error::parameter("exclude_alerts", reason));
        }
    }
    check_pages(&params)?;
    success(&call, &json!({ "groups": [] }))
}

/// Pages of groups: the one that any token leads to is empty.
fn check_pages(params: &Params) -> Result<(), Error> {
    let limit = params.non_empty("group_limit").map(parse_integer);
    let reason = match limit {
        None if params.non_empty("group_next_token").is_some() => {
            let reason = "group_limit needs to be present in order to paginate over the groups";
            return Err(Error::parameter("group_next_token", reason));
        }
        None => return Ok(()),
        Some(Ok(limit)) if limit > 0 => return Ok(()),
        Some(Ok(_)) => "group_limit needs to be greater than 0".to_owned(),
        Some(Err(reason)) => format!("group_limit needs to be a valid number: {reason}"),
    };
    Err(Error::parameter("group_limit", reason))
}

/// Types and help texts of metrics: line protocol has none.
pub(super) async fn metadata(call: Call) -> Result<Reply, Error> {
    let params = call.url_params()?;
    check_numbers(&params, &["limit", "limit_per_metric"])?;
    success(&call, &json!({}))
}

/// Metadata of scrape targets.
pub(super) async fn targets_metadata(call: Call) -> Result<Reply, Error> {
    let params = call.url_params()?;
    check_numbers(&params, &["limit"])?;
    if let Some(text) = params.non_empty("match_target") {
        promql::parse_selector(text).map_err(|error| Error::parameter("match_target", error))?;
    }
    success(&call, &json!([]))
}

fn check_numbers(params: &Params, names: &[&str]) -> Result<(), Error> {
    let wrong = names.iter().find(|name| params.non_empty(name).is_some_and(|text| parse_integer(text).is_err()));
    wrong.map_or(Ok(()), |name| Err(Error::bad_data(format!("{name} must be a number"))))
}

/// The configuration of a scrape pool, or what its rules make of labels: there is no pool.
pub(super) async fn scrape_pool(call: Call) -> Result<Reply, Error> {
    let params = call.url_params()?;
    let pool = params.non_empty("scrapePool").ok_or_else(|| Error::bad_data("no scrapePool parameter provided"))?;
    Err(Error::new(Kind::NotFound, format!("scrape pool {pool:?} not found")))
}

/// The experimental search endpoints, which Prometheus too has switched off unless asked.
pub(super) async fn search(_: Call) -> Result<Reply, Error> {
    Err(Error::new(Kind::Unavailable, "search API disabled"))
}

/// Prometheus's admin endpoints, which it too has switched off unless asked.
pub(super) async fn admin(_: Call) -> Result<Reply, Error> {
    Err(Error::new(Kind::Unavailable, "admin APIs disabled"))
}
