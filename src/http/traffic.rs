//! Requests, counted: by handler and status.

use std::{sync::Arc, time::Duration};

use hyper::StatusCode;
use prometheus::{Histogram, IntCounter};

use crate::{
    http::routes::{ROUTES, Route},
    metrics::Metrics,
};

/// The two answers of a server that is well.
const COMMON: [StatusCode; 2] = [StatusCode::OK, StatusCode::NO_CONTENT];

/// Handles of the metrics of each route: to look them up by their labels takes a third of a microsecond.
pub(super) struct Traffic {
    metrics: Arc<Metrics>,
    /// In the order of the table.
    routes: Vec<Counted>,
}

struct Counted {
    duration: Histogram,
    common: [IntCounter; COMMON.len()],
}

impl Traffic {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let counted = |route: &Route| Counted {
            duration: metrics.http_request_duration.with_label_values(&[route.name]),
            common: COMMON.map(|status| metrics.http_requests.with_label_values(&[route.name, status.as_str()])),
        };
        Self { routes: ROUTES.iter().map(counted).collect(), metrics }
    }

    /// A request was answered; `route` is its row, if it has one.
    pub(super) fn note(&self, route: Option<&'static Route>, name: &str, status: StatusCode, took: Duration) {
        let row = route.and_then(|route| ROUTES.iter().position(|row| std::ptr::eq(row, route)));
        let counted = row.map(|row| &self.routes[row]);
        let common = COMMON.iter().position(|common| *common == status);
        match (counted, common) {
            (Some(counted), Some(common)) => counted.common[common].inc(),
            _ => self.metrics.http_requests.with_label_values(&[name, status.as_str()]).inc(),
        }
        match counted {
            Some(counted) => counted.duration.observe(took.as_secs_f64()),
            None => self.metrics.http_request_duration.with_label_values(&[name]).observe(took.as_secs_f64()),
        }
    }
}
