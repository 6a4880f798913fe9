//! Parameters, numbers and error shapes.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::HeaderMap;

use crate::{
    http::{
        error::{Api, Error, Kind},
        json,
        params::{Params, parse_duration, parse_time},
    },
    model::{Labels, NANOS_PER_SECOND},
};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn numbers_are_the_shortest_that_read_back_with_exponents_only_at_the_far_ends() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-97.5, "-97.5"),
        (1e-6, "0.000001"),
        (0.000_001_234, "0.000001234"),
        (8_837_288_730_881_809.0 / 4.0, "2209322182720452.2"),
        (123_456_789_012_345_680_000.0, "123456789012345680000"),
        (9.99e-7, "9.99e-07"),
        (5e-324, "5e-324"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (-1.5e300, "-1.5e+300"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
    ] {
        assert_eq!(written(|out| json::number(out, value)), text);
    }
}

/// The standard library's digits, which are the shortest too, in the form that is wanted.
fn slowly(value: f64) -> String {
    let (size, text) = (value.abs(), format!("{value:e}"));
    match text.split_once('e') {
        _ if value.is_nan() => "NaN".to_owned(),
        _ if value.is_infinite() => if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        Some((digits, exponent)) if size != 0.0 && !(1e-6..1e21).contains(&size) => {
            let exponent: i32 = exponent.parse().unwrap();
            format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
        }
        _ => value.to_string(),
    }
}

#[test]
fn any_number_is_written_in_its_form_and_reads_back() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let edges = [1e15, 1e16, 1e17, 9_007_199_254_740_993.0, 1e-5, 1e-6, 123_456_789e-14, f64::MAX, f64::MIN_POSITIVE];
    let near = edges.iter().flat_map(|&edge: &f64| [edge, edge.next_up(), edge.next_down(), -edge]);
    let bits = std::iter::repeat_with(|| f64::from_bits(random.u64(..))).take(20_000);
    let mut other = fastrand::Rng::with_seed(seed);
    let decimals = std::iter::repeat_with(|| other.i64(-1_000_000..1_000_000) as f64 * 10_f64.powi(other.i32(-12..22)));
    for value in near.chain(bits).chain(decimals.take(20_000)) {
        let text = written(|out| json::number(out, value));
        // Where two decimals are as short and as near, ours is the even one; the standard library's the greater.
        let (form, slow) = (|text: &str| text.replace(|c: char| c.is_ascii_digit(), "0"), slowly(value));
        assert_eq!(form(&text), form(&slow), "seed {seed}, bits {:#x}: {text}, {slow}", value.to_bits());
        assert!(value.is_nan() || text.parse::<f64>().unwrap().to_bits() == value.to_bits(), "{text}");
    }
}

#[test]
fn times_have_three_decimals_or_none() {
    for (nanos, text) in [
        (0, "0"),
        (1_435_781_430_781_000_000, "1435781430.781"),
        (1_435_781_430_050_999_999, "1435781430.050"),
        (4_000_000_000, "4"),
        (-1_500_000_000, "-1.500"),
        (-1, "-0.001"),
    ] {
        assert_eq!(written(|out| json::time(out, nanos)), text);
    }
}

#[test]
fn strings_survive_a_json_parser() {
    let text = "a\"b\\c\nd\te\u{1}f\u{7f} é 中";
    let labels = Labels::from([("__name__", "up"), ("path", text)]);
    let value: serde_json::Value = serde_json::from_str(&written(|out| json::labels(out, &labels))).unwrap();
    assert_eq!(value["path"], text);
    assert_eq!(written(|out| json::labels(out, &Labels::default())), "{}");
    for (nanos, short) in [(500_000_000, "0.5"), (0, "0"), (100_000_000_000, "100"), (-1_250_000_000, "-1.25")] {
        assert_eq!(written(|out| json::short_time(out, nanos)), short);
    }
    assert_eq!(written(|out| json::point(out, 1500 * 1_000_000, 0.5)), "[1.500,\"0.5\"]");
}

#[test]
fn parameters_of_form_and_url_merge_and_are_decoded() {
    let form = Params::parse("query=a%2Bb+c&match[]=x&&flag").unwrap();
    let params = form.followed_by(Params::parse("query=other&match%5B%5D=y").unwrap());
    assert_eq!(params.get("query"), Some("a+b c"));
    assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(params.get("flag"), Some(""));
    assert_eq!(params.get("nothing"), None);
    for bad in ["a=%", "a=%zz", "a=%+1", "a=%ff"] {
        assert_eq!(Params::parse(bad).unwrap_err().kind, Kind::BadData, "{bad}");
    }
}

#[test]
fn times_are_seconds_or_rfc_3339_and_far_ones_saturate() {
    for (text, nanos) in [
        ("4", 4 * NANOS_PER_SECOND),
        ("-1.5", -1_500_000_000),
        ("1435781430.781", 1_435_781_430_781_000_000),
        ("1.4357814307814e9", 1_435_781_430_781_000_000),
        ("1.0005", NANOS_PER_SECOND),
        ("1.0006", 1_001_000_000),
        ("2015-07-01T20:10:30.781Z", 1_435_781_430_781_000_000),
        ("2015-07-01T22:10:30.781+02:00", 1_435_781_430_781_000_000),
        ("2015-07-01T20:10:30.781999999Z", 1_435_781_430_781_000_000),
        ("1969-12-31T23:59:59.123456Z", -877_000_000),
        ("1735000000000", i64::MAX), // milliseconds, taken for seconds: the year 57000
        ("-1e300", i64::MIN),
        ("9999-12-31T00:00:00Z", i64::MAX),
        ("0001-01-01T00:00:00Z", i64::MIN),
        ("-292273086-05-16T16:47:06Z", i64::MIN),
    ] {
        assert_eq!(parse_time(text), Some(nanos), "{text}");
    }
    for bad in
        ["", "now", "NaN", "Inf", "2015-07-01", "2015-07-01 20:10:30Z", "2015-13-01T00:00:00Z", "1h", "ééééééééééééé"]
    {
        assert_eq!(parse_time(bad), None, "{bad}");
    }
}

#[test]
fn durations_are_seconds_or_units_in_falling_order() {
    assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5400)));
    assert_eq!(parse_duration("1d12h250ms"), Some(Duration::from_millis(36 * 3_600_000 + 250)));
    assert_eq!(parse_duration("0"), Some(Duration::ZERO));
    for bad in ["", "1", "m", "30m1h", "1h1h", "1.5h", "1x", "-1s", "99999999999999y"] {
        assert_eq!(parse_duration(bad), None, "{bad}");
    }
    let params = Params::parse("a=15&b=0.25&c=1m30s&d=-5&e=x&f=1e300").unwrap();
    let values = ["a", "b", "c", "d"].map(|name| params.duration(name).unwrap());
    assert_eq!(values, [15_000_000_000, 250_000_000, 90_000_000_000, -5_000_000_000]);
    assert_eq!(
        params.duration("e").unwrap_err().message,
        "invalid parameter \"e\": cannot parse \"x\" to a valid duration"
    );
    assert_eq!(
        params.duration("f").unwrap_err().message,
        "invalid parameter \"f\": cannot parse \"1e300\" to a valid duration. It overflows int64"
    );
    assert!(params.duration("missing").is_err());
    assert_eq!(params.optional_duration("missing"), Ok(None));
    let time = Params::parse("t=tomorrow").unwrap();
    assert_eq!(
        time.time("t").unwrap_err().message,
        "invalid parameter \"t\": cannot parse \"tomorrow\" to a valid timestamp"
    );
    assert_eq!(
        time.optional_time("t").unwrap_err().message,
        "invalid parameter \"t\": invalid time value for 't': cannot parse \"tomorrow\" to a valid timestamp"
    );
}

#[test]
fn limits_of_zero_mean_all_and_negative_ones_are_refused() {
    let limit = |text: &str| Params::parse(text).unwrap().limit();
    assert_eq!((limit(""), limit("limit=0"), limit("limit=7")), (Ok(None), Ok(None), Ok(Some(7))));
    let refused = |text: &str, reason: &str| {
        assert_eq!(limit(text), Err(Error::parameter("limit", reason)), "{text}");
    };
    refused("limit=-1", "limit must be non-negative");
    refused("limit=many", "strconv.Atoi: parsing \"many\": invalid syntax");
    refused("limit=99999999999999999999", "strconv.Atoi: parsing \"99999999999999999999\": value out of range");
}

#[tokio::test]
async fn each_protocol_reads_errors_in_its_own_shape() {
    async fn shown(error: Error, api: Api) -> (u16, HeaderMap, String) {
        let (head, body) = error.into_reply(api).into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        (head.status.as_u16(), head.headers, text)
    }
    let error = || Error::bad_data("unable to parse 'a\nb': é");
    let (status, headers, text) = shown(error(), Api::Influx1).await;
    assert_eq!((status, text.as_str()), (400, "{\"error\":\"unable to parse 'a\\nb': é\"}\n"));
    assert_eq!(headers["x-influxdb-error"], "unable to parse 'a b':   ");
    let (_, headers, text) = shown(error(), Api::Influx2).await;
    assert_eq!(headers["x-platform-error-code"], "invalid");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["code"], &value["message"]), (&"invalid".into(), &value["error"]));
    let (status, headers, text) = shown(Error::new(Kind::Execution, "no"), Api::Prometheus).await;
    assert_eq!((status, text.as_str()), (422, r#"{"status":"error","errorType":"execution","error":"no"}"#));
    assert_eq!(headers["content-type"], "application/json");
    let (status, headers, _) = shown(Error::overloaded("busy", 0), Api::Influx1).await;
    assert_eq!((status, &headers["retry-after"]), (503, &"1".parse().unwrap()));
}
