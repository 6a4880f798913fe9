//! What there is: `series`, `labels`, `label/NAME/values`, `status/*`, and the endpoints that have nothing to tell here.

use serde_json::{Value, json};

use crate::common::{Response, Server, T, encode, server, with_data};

/// `data` of an answer that succeeds.
fn data(server: &Server, path: &str) -> Value {
    let response = server.get(&format!("/api/v1/{path}"));
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    let json = response.json();
    assert_eq!((response.header("content-type"), &json["status"]), ("application/json", &json!("success")), "{path}");
    json["data"].clone()
}

/// Status, `errorType` and `error` of a refusal.
fn refusal(server: &Server, path: &str) -> (u16, String, String) {
    let response = server.get(&format!("/api/v1/{path}"));
    let json = response.json();
    let text = |name: &str| json[name].as_str().unwrap_or("").to_owned();
    (response.status, text("errorType"), text("error"))
}

#[test]
fn lists_take_time_ranges_and_selectors() {
    let (server, _dir) = with_data();
    for path in ["series?match[]=cpu_usage&", "labels?", "label/host/values?"] {
        for empty in ["start=5&end=2".to_owned(), format!("start={}&end={}", T + 864_000, T + 950_000)] {
            assert_eq!(data(&server, &format!("{path}{empty}")), json!([]), "{path}{empty}");
        }
        let whole = data(&server, path).as_array().unwrap().len();
        for all in [
            format!("start={T}"),
            format!("end={T}"),
            format!("start={T}&end={T}"),
            "start=-1735000000000&end=1735000000000".to_owned(),
        ] {
            assert_eq!(data(&server, &format!("{path}{all}")).as_array().unwrap().len(), whole, "{path}{all}");
        }
        let none = encode("{job=\"nothing\"}");
        assert_eq!(
            data(&server, &format!("{}match[]={none}", path.replace("match[]=cpu_usage&", ""))),
            json!([]),
            "{path}"
        );
        let (status, kind, error) = refusal(&server, &format!("{path}start=x"));
        assert_eq!((status, kind.as_str()), (400, "bad_data"), "{path}");
        assert_eq!(
            error,
            "invalid parameter \"start\": invalid time value for 'start': cannot parse \"x\" to a valid timestamp"
        );
        for empty in ["{}", "{host=~\".*\"}", "{host=\"\"}"] {
            let (status, _, error) = refusal(&server, &format!("{path}match[]={}", encode(empty)));
            assert!(
                status == 400 && error.ends_with("match[] must contain at least one non-empty matcher"),
                "{path} {empty}: {error}"
            );
        }
    }
    let union = format!(
        "label/host/values?match[]={}&match[]={}",
        encode("cpu_usage{host=\"a\"}"),
        encode("cpu_idle{host=\"c\"}")
    );
    assert_eq!(data(&server, &union), json!(["a", "c"]));
    assert_eq!(refusal(&server, "series").2, "no match[] parameter provided");
}

#[test]
fn names_of_labels_may_be_any_text() {
    let (server, _dir) = server(&[]);
    let line = format!("m,http.status_code=200,größe=klein,a/b=c value=1 {T}\n");
    assert_eq!(server.post("/write?db=d&precision=s", line.as_bytes()).status, 204);
    for (segment, value) in [
        ("http.status_code", "200"),
        ("http%2Estatus%5Fcode", "200"),
        ("U__http_2e_status__code", "200"),
        ("gr%C3%B6%C3%9Fe", "klein"),
        ("U__gr_f6__df_e", "klein"),
        ("a%2Fb", "c"),
        ("U__a_2F_b", "c"),
    ] {
        assert_eq!(data(&server, &format!("label/{segment}/values")), json!([value]), "{segment}");
    }
    let names = data(&server, "labels");
    assert_eq!(names, json!(["__name__", "a/b", "db", "größe", "http.status_code"]));
    assert_eq!(data(&server, "label/U__open_2e/values"), json!([]), "a name that is not well escaped is a name");
    let (status, kind, error) = refusal(&server, "label/U__/values");
    assert_eq!((status, &*kind, &*error), (400, "bad_data", "invalid label name: \"\""));
}

#[test]
fn tsdb_counts_what_the_index_holds() {
    let (server, _dir) = with_data();
    let line = format!("mem,host=a used=1 {}\n", T - 3600);
    assert_eq!(server.post("/write?db=test&precision=s", line.as_bytes()).status, 204);
    let tsdb = data(&server, "status/tsdb");
    let head = &tsdb["headStats"];
    let times = json!([(T - 3600) * 1000, (T + 230) * 1000]);
    assert_eq!((&head["numSeries"], json!([head["minTime"], head["maxTime"]])), (&json!(7), times), "{head}");
    assert_eq!(head["numLabelPairs"], json!(3 + 1 + 3), "three metrics, one database, three hosts");
    let entries = |list: &Value| -> Vec<(String, u64)> {
        let entry = |entry: &Value| (entry["name"].as_str().unwrap().to_owned(), entry["value"].as_u64().unwrap());
        list.as_array().unwrap().iter().map(entry).collect()
    };
    let named =
        |list: &[(&str, u64)]| list.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect::<Vec<_>>();
    assert_eq!(entries(&tsdb["seriesCountByMetricName"]), named(&[("cpu_idle", 3), ("cpu_usage", 3), ("mem_used", 1)]));
    assert_eq!(entries(&tsdb["labelValueCountByLabelName"]), named(&[("__name__", 3), ("host", 3), ("db", 1)]));
    assert_eq!(
        entries(&tsdb["memoryInBytesByLabelName"]),
        named(&[("__name__", 3 * 8 + 3 * 9 + 8), ("db", 7 * 4), ("host", 7)])
    );
    assert_eq!(
        entries(&tsdb["seriesCountByLabelValuePair"]),
        named(&[
            ("db=test", 7),
            ("__name__=cpu_idle", 3),
            ("__name__=cpu_usage", 3),
            ("host=a", 3),
            ("host=b", 2),
            ("host=c", 2),
            ("__name__=mem_used", 1),
        ])
    );
    let cut = data(&server, "status/tsdb?limit=2");
    assert_eq!(entries(&cut["seriesCountByLabelValuePair"]), named(&[("db=test", 7), ("__name__=cpu_idle", 3)]));
    for bad in ["0", "-1", "x"] {
        assert_eq!(refusal(&server, &format!("status/tsdb?limit={bad}")).2, "limit must be a positive number", "{bad}");
    }
}

#[test]
fn parts_are_shown_as_blocks() {
    let (server, dir) = with_data();
    assert_eq!(data(&server, "status/tsdb/blocks"), json!({"blocks": []}));
    assert_eq!(server.terminate().0, Some(0));
    let server = Server::start(dir.path(), &[]);
    let block = &data(&server, "status/tsdb/blocks")["blocks"][0];
    assert_eq!((&block["minTime"], &block["maxTime"]), (&json!(T * 1000), &json!((T + 230) * 1000 + 1)));
    assert_eq!((&block["stats"]["numSamples"], block["ulid"].as_str().unwrap().len()), (&json!(144), 26), "{block}");
    assert!(data(&server, "status/tsdb")["headStats"]["chunkCount"].as_u64().unwrap() > 0);
}

#[test]
fn what_there_is_none_of_is_an_empty_list_and_its_parameters_are_checked() {
    let (server, _dir) = server(&[]);
    for (path, empty) in [
        ("metadata", json!({})),
        ("metadata?metric=up&limit=2&limit_per_metric=1", json!({})),
        ("targets", json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}})),
        (
            "targets?state=active&scrapePool=x",
            json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": {}}),
        ),
        ("targets/metadata?match_target=%7Bjob%3D%22a%22%7D&metric=up&limit=1", json!([])),
        ("scrape_pools", json!({"scrapePools": []})),
        ("alertmanagers", json!({"activeAlertmanagers": [], "droppedAlertmanagers": []})),
        ("alerts", json!({"alerts": []})),
        ("notifications", json!([])),
        ("rules", json!({"groups": []})),
        (
            "rules?type=ALERT&rule_name[]=a&rule_group[]=b&file[]=c&exclude_alerts=true&group_limit=5",
            json!({"groups": []}),
        ),
        ("query_exemplars?query=up&start=1735000000000&end=1735000100000", json!([])),
    ] {
        assert_eq!(data(&server, path), empty, "{path}");
    }
    for (path, error) in [
        ("metadata?limit=x", "limit must be a number"),
        ("metadata?limit_per_metric=1.5", "limit_per_metric must be a number"),
        ("targets/metadata?limit=x", "limit must be a number"),
        (
            "targets/metadata?match_target=%7D",
            "invalid parameter \"match_target\": 1:1: parse error: unexpected character: '}'",
        ),
        ("rules?type=x", "invalid parameter \"type\": not supported value \"x\""),
        ("rules?group_limit=0", "invalid parameter \"group_limit\": group_limit needs to be greater than 0"),
        (
            "rules?group_next_token=a",
            "invalid parameter \"group_next_token\": group_limit needs to be present in order to paginate over the groups",
        ),
        (
            "rules?exclude_alerts=2",
            "invalid parameter \"exclude_alerts\": error converting exclude_alerts: strconv.ParseBool: parsing \"2\": invalid syntax",
        ),
        ("query_exemplars?query=up&start=5&end=2", "end timestamp must not be before start timestamp"),
        ("scrape_pools/config", "no scrapePool parameter provided"),
    ] {
        assert_eq!(refusal(&server, path), (400, "bad_data".to_owned(), error.to_owned()), "{path}");
    }
    assert_eq!(server.get("/api/v1/query_exemplars?query=1").status, 204, "it selects nothing that could have one");
    assert_eq!(refusal(&server, "scrape_pools/config?scrapePool=x").0, 404);
    for (method, path, error) in [
        ("POST", "admin/tsdb/snapshot", "admin APIs disabled"),
        ("PUT", "admin/tsdb/delete_series?match[]=up", "admin APIs disabled"),
        ("POST", "admin/tsdb/clean_tombstones", "admin APIs disabled"),
        ("GET", "search/label_names", "search API disabled"),
    ] {
        let response = server.send(method, &format!("/api/v1/{path}"), &[], b"");
        let expected = json!({"status": "error", "errorType": "unavailable", "error": error});
        assert_eq!((response.status, response.json()), (500, expected), "{method} {path}");
    }
    assert_eq!(server.get("/api/v1/admin/tsdb/snapshot").status, 405);
}

#[test]
fn queries_are_formatted_and_parsed() {
    let (server, _dir) = server(&[]);
    assert_eq!(
        data(&server, &format!("format_query?query={}", encode("sum(rate(x[5m]))by(a)"))),
        json!("sum by (a) (rate(x[5m]))")
    );
    let tree = |query: &str| data(&server, &format!("parse_query?query={}", encode(query)));
    let selector = json!({
        "type": "vectorSelector", "name": "up", "offset": 300_000, "timestamp": null, "startOrEnd": "end", "anchored": false,
        "smoothed": false,
        "matchers": [
            {"name": "job", "type": "=~", "value": "a.*"}, {"name": "__name__", "type": "=", "value": "up"},
        ],
    });
    assert_eq!(tree("up{job=~\"a.*\"} @ end() offset 5m"), selector);
    let call = tree("-sum without (a) (rate({\"a.b\"}[1m] @ 1.5 offset -1s))");
    assert_eq!((&call["type"], &call["op"]), (&json!("unaryExpr"), &json!("-")));
    let sum = &call["expr"];
    assert_eq!(
        (&sum["op"], &sum["without"], &sum["grouping"], &sum["param"]),
        (&json!("sum"), &json!(true), &json!(["a"]), &Value::Null)
    );
    let func = json!({"name": "rate", "argTypes": ["matrix"], "variadic": 0, "returnType": "vector"});
    assert_eq!((&sum["expr"]["type"], &sum["expr"]["func"]), (&json!("call"), &func));
    let matrix = &sum["expr"]["args"][0];
    assert_eq!(
        (&matrix["type"], &matrix["range"], &matrix["offset"]),
        (&json!("matrixSelector"), &json!(60_000), &json!(-1000))
    );
    assert_eq!((&matrix["timestamp"], &matrix["name"]), (&json!(1500), &json!("")));
    let binary = tree("a == bool on (x) group_left (y) b");
    let matching = json!({
        "card": "many-to-one", "labels": ["x"], "on": true, "include": ["y"], "fillValues": {"lhs": null, "rhs": null},
    });
    assert_eq!((&binary["op"], &binary["bool"], &binary["matching"]), (&json!("=="), &json!(true), &matching));
    assert_eq!(tree("a or b")["matching"]["card"], json!("many-to-many"));
    let subquery = tree("topk(2, m)[1h:5m] offset 1d");
    assert_eq!(
        (&subquery["range"], &subquery["step"], &subquery["offset"]),
        (&json!(3_600_000), &json!(300_000), &json!(86_400_000))
    );
    assert_eq!(subquery["expr"]["param"], json!({"type": "numberLiteral", "val": "2"}));
    assert_eq!(tree("(1e3 + 2)")["expr"]["lhs"], json!({"type": "numberLiteral", "val": "1000"}));
    assert_eq!(tree("1 + 2")["matching"], Value::Null);
    for (query, types, variadic) in [
        ("round(m)", json!(["vector", "scalar"]), 1),
        ("hour()", json!(["vector"]), 1),
        ("label_join(m, \"a\", \"b\")", json!(["vector", "string", "string", "string"]), -1),
        ("time()", json!([]), 0),
    ] {
        let func = &tree(query)["func"];
        assert_eq!((&func["argTypes"], &func["variadic"]), (&types, &json!(variadic)), "{query}");
    }
    assert_eq!(refusal(&server, "parse_query?query=rate(").0, 400);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let posted = server.send("POST", "/api/v1/parse_query", &form, b"query=%22text%22").json();
    assert_eq!(posted["data"], json!({"type": "stringLiteral", "val": "text"}));
}

#[test]
fn the_server_tells_what_it_is() {
    let (server, _dir) = server(&[]);
    let runtime = data(&server, "status/runtimeinfo");
    for name in [
        "startTime",
        "CWD",
        "hostname",
        "serverTime",
        "reloadConfigSuccess",
        "lastConfigTime",
        "corruptionCount",
        "goroutineCount",
        "GOMAXPROCS",
        "GOMEMLIMIT",
        "GOGC",
        "GODEBUG",
        "storageRetention",
    ] {
        assert!(!runtime[name].is_null(), "{name}: {runtime}");
    }
    assert!(data(&server, "status/config")["yaml"].is_string() && data(&server, "status/flags").is_object());
    assert!(data(&server, "status/walreplay")["current"].is_u64());
    let features = data(&server, "features");
    for (category, name, enabled) in [
        ("promql_functions", "rate", true),
        ("promql_functions", "info", false),
        ("promql_operators", "topk", true),
        ("promql_operators", "limitk", false),
        ("promql_operators", "=~", true),
        ("promql", "group_left", true),
        ("promql", "fill_left", false),
        ("api", "query_stats", true),
    ] {
        assert_eq!(features[category][name], json!(enabled), "{category} {name}, without any --enable-feature");
    }
    assert!(
        features.as_object().unwrap().values().all(|names| names.as_object().unwrap().values().all(Value::is_boolean))
    );
    assert_eq!(features["api"]["admin"], json!(false));
    let metrics = data(&server, "status/self_metrics?metric_name_pattern=plimsoll_build_.*");
    assert_eq!(
        (&metrics[0]["name"], &metrics[0]["type"]),
        (&json!("plimsoll_build_info"), &json!("GAUGE")),
        "{metrics}"
    );
    assert_eq!((metrics.as_array().unwrap().len(), &metrics[0]["metric"][0]["gauge"]["value"]), (1, &json!(1.0)));
    assert_eq!(server.get("/-/healthy").text(), "Prometheus Server is Healthy.\n");
    assert_eq!(server.get("/-/ready").text(), "Prometheus Server is Ready.\n");
}

#[test]
fn pages_from_elsewhere_are_let_in() {
    let (server, _dir) = server(&[]);
    let origin = [("Origin", "http://page")];
    for path in ["/api/v1/query", "/api/v1/nowhere", "/", "/nowhere", "/api/v1/label/x/values"] {
        let preflight = server.send("OPTIONS", path, &origin, b"");
        assert_eq!((preflight.status, preflight.body.len()), (204, 0), "{path}");
        check_origin(&preflight, path);
    }
    for path in ["/api/v1/query?query=1", "/api/v1/query?query=", "/nowhere"] {
        check_origin(&server.send("GET", path, &origin, b""), path);
    }
    assert_eq!(server.get("/api/v1/query?query=1").header("access-control-allow-origin"), "");
    let write = server.send("OPTIONS", "/write", &origin, b"");
    assert!(write.header("access-control-allow-headers").contains("Durability"));
}

fn check_origin(response: &Response, path: &str) {
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, POST, OPTIONS"),
        ("access-control-allow-headers", "Accept, Authorization, Content-Type, Origin"),
        ("access-control-expose-headers", "Date"),
        ("vary", "Origin"),
    ] {
        assert_eq!(response.header(name), value, "{path} {name}");
    }
}
