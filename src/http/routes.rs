//! Every path the server knows, in one table.

use std::{pin::Pin, sync::Arc};

use hyper::{Method, body::Incoming, http::request::Parts};

use crate::http::{
    Shared, absent,
    body::{self, Limits},
    durability,
    error::{Api, Error},
    features, influx, pack,
    params::{self, Params},
    prometheus,
    queries::{self, Asked, Peer},
    reply::Reply,
    self_metrics, series, status, texts, tsdb, write,
};

/// A path, who speaks there, and who answers.
pub(super) struct Route {
    /// The path; `{}` stands for one percent-encoded segment.
    pub(super) path: &'static str,
    /// The methods it takes. Where GET is, HEAD is too; OPTIONS is everywhere.
    pub(super) methods: &'static [Method],
    /// The shape of its errors.
    pub(super) api: Api,
    /// Its name in metrics.
    pub(super) name: &'static str,
    /// What answers.
    pub(super) handle: Handler,
}

/// A request on its way to its handler.
pub(super) struct Call {
    pub(super) server: Arc<Shared>,
    pub(super) head: Parts,
    pub(super) body: Incoming,
    /// What stood for `{}`, decoded; empty in other paths.
    pub(super) segment: String,
}

type Answer = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>;
type Handler = fn(Call) -> Answer;

macro_rules! routes {
    ($($api:ident { $($methods:ident $path:literal $name:literal $handler:expr;)+ })+) => {
        &[$($(Route {
            path: $path,
            methods: $methods,
            api: Api::$api,
            name: $name,
            handle: |call| Box::pin(async move { $handler(call).await }),
        },)+)+]
    };
}

const GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const BOTH: &[Method] = &[Method::GET, Method::POST];
const WRITE: &[Method] = &[Method::POST, Method::PUT];

/// The table.
pub(super) const ROUTES: &[Route] = routes! {
    Influx1 {
        POST "/write" "write" write::v1;
        BOTH "/query" "influx_query" influx::query;
        GET "/ping" "ping" influx::ping;
    }
    Influx2 {
        POST "/api/v2/write" "write_v2" write::v2;
        GET "/health" "health" influx::health;
        GET "/ready" "influx_ready" influx::ready;
    }
    Influx3 {
        POST "/api/v3/write_lp" "write_v3" write::v3;
    }
    Prometheus {
        BOTH "/api/v1/query" "query" prometheus::instant;
        BOTH "/api/v1/query_range" "query_range" prometheus::range;
        BOTH "/api/v1/series" "series" series::series;
        BOTH "/api/v1/labels" "labels" series::label_names;
        GET "/api/v1/label/{}/values" "label_values" series::label_values;
        BOTH "/api/v1/query_exemplars" "query_exemplars" texts::exemplars;
        BOTH "/api/v1/format_query" "format_query" texts::format_query;
        BOTH "/api/v1/parse_query" "parse_query" texts::parse_query;
        GET "/api/v1/metadata" "metadata" absent::metadata;
        GET "/api/v1/rules" "rules" absent::rules;
        GET "/api/v1/alerts" "alerts" absent::alerts;
        GET "/api/v1/alertmanagers" "alertmanagers" absent::alertmanagers;
        GET "/api/v1/targets" "targets" absent::targets;
        GET "/api/v1/targets/metadata" "targets_metadata" absent::targets_metadata;
        GET "/api/v1/targets/relabel_steps" "relabel_steps" absent::scrape_pool;
        GET "/api/v1/scrape_pools" "scrape_pools" absent::scrape_pools;
        GET "/api/v1/scrape_pools/config" "scrape_pool_config" absent::scrape_pool;
        GET "/api/v1/notifications" "notifications" absent::notifications;
        GET "/api/v1/notifications/live" "notifications_live" absent::notifications_live;
        BOTH "/api/v1/search/metric_names" "search_metric_names" absent::search;
        BOTH "/api/v1/search/label_names" "search_label_names" absent::search;
        BOTH "/api/v1/search/label_values" "search_label_values" absent::search;
        WRITE "/api/v1/admin/tsdb/delete_series" "delete_series" absent::admin;
        WRITE "/api/v1/admin/tsdb/clean_tombstones" "clean_tombstones" absent::admin;
        WRITE "/api/v1/admin/tsdb/snapshot" "snapshot" absent::admin;
        GET "/api/v1/features" "features" features::features;
        GET "/api/v1/status/buildinfo" "buildinfo" status::buildinfo;
        GET "/api/v1/status/runtimeinfo" "runtimeinfo" status::runtimeinfo;
        GET "/api/v1/status/walreplay" "walreplay" status::walreplay;
        GET "/api/v1/status/flags" "flags" status::flags;
        GET "/api/v1/status/config" "config" status::config;
        GET "/api/v1/status/tsdb" "tsdb" tsdb::status;
        GET "/api/v1/status/tsdb/blocks" "tsdb_blocks" tsdb::blocks;
        GET "/api/v1/status/self_metrics" "self_metrics" self_metrics::families;
        GET "/api/v1/durability" "durability" durability::status;
        GET "/api/v1/durability/wait" "durability_wait" durability::wait;
        GET "/api/v1/durability/receipt" "durability_receipt" durability::receipt;
        POST "/api/v1/admin/durability" "durability_switch" durability::switch;
        GET "/api/v1/status/active_queries" "active_queries" queries::handlers::active;
        GET "/api/v1/status/top_queries" "top_queries" queries::handlers::top;
        POST "/api/v1/admin/queries/{}/cancel" "cancel_query" queries::handlers::cancel;
    }
    Text {
        GET "/metrics" "metrics" status::metrics;
        GET "/-/healthy" "healthy" status::healthy;
        GET "/-/ready" "ready" status::ready;
        GET "/" "index" status::index;
    }
};

/// The row of a path, and what stood for its `{}`.
pub(super) fn find(path: &str) -> Option<(&'static Route, &str)> {
    ROUTES.iter().find_map(|route| Some((route, matched(route.path, path)?)))
}

fn matched<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    match pattern.split_once("{}") {
        None => (pattern == path).then_some(""),
        Some((head, tail)) => {
            let segment = path.strip_prefix(head)?.strip_suffix(tail)?;
            (!segment.is_empty() && !segment.contains('/')).then_some(segment)
        }
    }
}

/// The shape of errors on a path that is in no row.
pub(super) fn api_of_unknown(path: &str) -> Api {
    match path {
        _ if path.starts_with("/api/v2/") => Api::Influx2,
        _ if path.starts_with("/api/v3/") => Api::Influx3,
        _ => Api::Text,
    }
}

impl Route {
    /// Whether it takes the method.
    pub(super) fn takes(&self, method: &Method) -> bool {
        self.methods.contains(method) || (method == Method::HEAD && self.methods.contains(&Method::GET))
    }

    /// What `Allow` says.
    pub(super) fn allow(&self) -> String {
        let head = self.methods.contains(&Method::GET).then_some("HEAD");
        let names: Vec<_> = self.methods.iter().map(Method::as_str).chain(head).chain(["OPTIONS"]).collect();
        names.join(", ")
    }
}

impl Call {
    /// The parameters in the URL.
    pub(super) fn url_params(&self) -> Result<Params, Error> {
        Params::parse(self.head.uri.query().unwrap_or(""))
    }

    /// The parameters of the body, where it is a form, and of the URL; and the rest of the call.
    pub(super) async fn params(self) -> Result<(Params, Asker), Error> {
        let url = self.url_params()?;
        let asker = Asker { server: self.server, head: self.head };
        if asker.head.method != Method::POST || !is_form(&asker.head) {
            return Ok((url, asker));
        }
        let options = &asker.server.options;
        let limits = Limits { received: FORM_BYTES_MAX, unpacked: FORM_BYTES_MAX, stall: options.body_stall_timeout };
        let form = body::collect(self.body, &asker.head.headers, limits).await?;
        let form = std::str::from_utf8(&form).map_err(|_| Error::bad_data("error parsing form values: not UTF-8"))?;
        Ok((Params::parse(form)?.followed_by(url), asker))
    }
}

/// What a request asks, for the list of queries.
pub(super) fn asked(server: &Shared, head: &Parts, kind: &'static str, text: &str) -> Asked {
    Asked {
        kind,
        text: text.into(),
        steps: None,
        client: head.extensions.get::<Peer>().cloned(),
        timeout: server.options.query_timeout,
    }
}

/// What is left of a call once its parameters are read.
pub(super) struct Asker {
    pub(super) server: Arc<Shared>,
    pub(super) head: Parts,
}

impl Asker {
    /// What it asks, for the list of queries.
    pub(super) fn asked(&self, kind: &'static str, text: &str) -> Asked {
        asked(&self.server, &self.head, kind, text)
    }

    /// The answer, packed if this client takes that.
    pub(super) fn pack(&self, reply: Reply) -> Reply {
        pack::as_accepted(&self.head.headers, reply)
    }
}

/// Queries are text that people or their tools wrote.
const FORM_BYTES_MAX: u64 = 8 << 20;

fn is_form(head: &Parts) -> bool {
    let content_type = head.headers.get(hyper::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|t| t.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"))
}

/// The segment of a path, decoded.
pub(super) fn decode_segment(segment: &str) -> Result<String, Error> {
    params::decode(segment, false)
}
