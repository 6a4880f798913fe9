//! What is asked of a query's text alone: `format_query`, `parse_query`, and `query_exemplars`, which are none.

use crate::{
    http::{
        body::Body,
        error::Error,
        json,
        params::Params,
        reply::{self, Reply},
        routes::Call,
        shared::Shared,
        syntax,
    },
    promql::{
        self,
        ast::{Expr, Node},
    },
};

/// `format_query`: the text as we would write it.
pub(super) async fn format_query(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let expr = parse(&params, &asker.server)?;
    let mut out = br#"{"status":"success","data":"#.to_vec();
    json::string(&mut out, &promql::pretty(&expr));
    out.push(b'}');
    Ok(asker.pack(reply::typed("application/json", Body::full(out))))
}

/// `parse_query`: the syntax tree.
pub(super) async fn parse_query(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let tree = syntax::tree(&parse(&params, &asker.server)?);
    Ok(asker.pack(reply::json(format!(r#"{{"status":"success","data":{tree}}}"#))))
}

/// Exemplars: line protocol has none. Grafana asks with times in milliseconds, which lie in the year 57000.
pub(super) async fn exemplars(call: Call) -> Result<Reply, Error> {
    let (params, asker) = call.params().await?;
    let (start, end) = (params.optional_time("start")?, params.optional_time("end")?);
    if end.unwrap_or(i64::MAX) < start.unwrap_or(i64::MIN) {
        return Err(Error::bad_data("end timestamp must not be before start timestamp"));
    }
    if !has_selector(&parse(&params, &asker.server)?) {
        return Ok(reply::no_content());
    }
    Ok(asker.pack(reply::json(r#"{"status":"success","data":[]}"#)))
}

/// The parameter `query`, parsed.
pub(super) fn parse(params: &Params, server: &Shared) -> Result<Expr, Error> {
    let text = params.get("query").unwrap_or("");
    promql::parse_with(text, server.options.features).map_err(|error| Error::parameter("query", error))
}

fn has_selector(expr: &Expr) -> bool {
    matches!(expr.node, Node::Vector(_) | Node::Matrix(_)) || expr.children().any(has_selector)
}
