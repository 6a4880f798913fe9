use crate::promql::{ast::ValueType, check::check, parse};

/// Texts that are no queries, and what is said about them.
const REJECTED: &[(&str, &str)] = &[
    ("", "1:1: parse error: no expression found in input"),
    ("# only a comment", "1:1: parse error: no expression found in input"),
    ("1 +", "1:4: parse error: unexpected end of input"),
    ("(1", "1:3: parse error: unclosed left parenthesis"),
    ("1)", "1:3: parse error: unexpected right parenthesis ')'"),
    ("a b", "1:3: parse error: unexpected identifier \"b\""),
    ("1 2", "1:3: parse error: unexpected number \"2\""),
    ("*1", "1:1: parse error: unexpected <op:*>"),
    ("a + by + ()", "1:11: parse error: unexpected \")\""),
    ("=1", "1:1: parse error: unexpected \"=\""),
    ("a ! b", "1:3: parse error: unexpected character after '!': ' '"),
    ("a ; b", "1:3: parse error: unexpected character: ';'"),
    ("a !", "1:3: parse error: unexpected character after '!': '\u{fffd}'"),
    ("a \u{1} b", "1:3: parse error: unexpected character: '\\x01'"),
    ("a \u{a0} b", "1:3: parse error: unexpected character: '\\u00a0'"),
    ("{\u{7}}", "1:2: parse error: unexpected character inside braces: '\\a'"),
    ("{a!'}", "1:3: parse error: unexpected character after '!' inside braces: '\\''"),
    ("\"a", "1:1: parse error: unterminated quoted string"),
    ("\"\\", "1:1: parse error: escape sequence not terminated"),
    ("\"\\c\"", "1:1: parse error: unknown escape sequence U+0063 'c'"),
    ("\"\\\n\"", "1:1: parse error: unknown escape sequence U+000A"),
    ("\"\\x.\"", "1:1: parse error: illegal character U+002E '.' in escape sequence"),
    ("\"\\u\"", "1:1: parse error: illegal character U+0022 '\"' in escape sequence"),
    ("\"\\08\"", "1:1: parse error: illegal character U+0038 '8' in escape sequence"),
    ("\"\\ud800\"", "1:1: parse error: escape sequence is an invalid Unicode code point"),
    ("\"\\400\"", "1:1: parse error: escape sequence is an invalid Unicode code point"),
    ("a \"\\c\"", "1:3: parse error: unknown escape sequence U+0063 'c'"),
    ("a \"\\n56789012\"", "1:3: parse error: unexpected string \"\\\"\\\\n5678901\"..."),
    (
        "a \"\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\"",
        "1:3: parse error: unexpected string \"\\\"\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\\\"\"...",
    ),
    ("`a", "1:1: parse error: unterminated raw string"),
    ("1a", "1:1: parse error: bad number or duration syntax: \"1\""),
    ("5x", "1:1: parse error: bad number or duration syntax: \"5\""),
    ("5mx", "1:1: parse error: bad number or duration syntax: \"5mx\""),
    ("5m3", "1:1: parse error: bad number or duration syntax: \"5m3\""),
    ("1__0", "1:1: parse error: bad number or duration syntax: \"1__\""),
    ("1.2.3", "1:1: parse error: bad number or duration syntax: \"1.2.\""),
    ("0b11", "1:1: parse error: bad number or duration syntax: \"0\""),
    ("0x1p4", "1:1: parse error: bad number or duration syntax: \"0x1\""),
    ("0x1.8", "1:1: parse error: bad number or duration syntax: \"0x1.\""),
    ("1e+", "1:1: parse error: bad number or duration syntax: \"1e+\""),
    ("1e+ ", "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e+\": invalid syntax"),
    ("1_ ", "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1_\": invalid syntax"),
    ("0x", "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"0x\": invalid syntax"),
    (
        "0xffffffffffffffff",
        "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"0xffffffffffffffff\": invalid syntax",
    ),
    ("1e1000", "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e1000\": value out of range"),
    ("5hs", "1:1: parse error: unknown unit \"hs\" in duration \"5hs\""),
    ("1e5m", "1:1: parse error: unknown unit \"e\" in duration \"1e5m\""),
    ("1.5m", "1:1: parse error: unknown unit \".\" in duration \"1.5m\""),
    ("99999999999999999999s", "1:1: parse error: not a valid duration string: \"99999999999999999999s\""),
    ("300y", "1:1: parse error: duration out of range"),
    ("5m30h", "1:1: parse error: not a valid duration string: \"5m30h\""),
    ("foo{", "1:5: parse error: unexpected end of input inside braces"),
    ("foo{a}", "1:6: parse error: unexpected \"}\" in label matching, expected label matching operator"),
    ("foo{a=}", "1:7: parse error: unexpected \"}\" in label matching, expected string"),
    ("foo{a=\"b\" c}", "1:11: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\""),
    ("foo{,}", "1:5: parse error: unexpected \",\" in label matching, expected identifier or \"}\""),
    ("foo{a=~\"(\"}", "1:5: parse error: error parsing regexp: missing closing ): `(`"),
    ("foo{__name__=\"bar\"}", "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\""),
    ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
    ("{a=~\".*\",b=\"\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
    ("sum({}[5m])", "1:5: parse error: vector selector must contain at least one non-empty matcher"),
    ("sum", ""), // a metric
    ("sum by (1) (x)", "1:9: parse error: unexpected number \"1\" in grouping opts, expected label"),
    ("sum by x", "1:8: parse error: unexpected identifier \"x\" in grouping opts, expected \"(\""),
    ("sum by (a b) (x)", "1:11: parse error: unexpected identifier \"b\" in grouping opts, expected \",\" or \")\""),
    ("sum by (a) x", "1:12: parse error: unexpected identifier \"x\" in aggregation"),
    ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
    ("sum(a b)", "1:7: parse error: unexpected identifier \"b\" in aggregation"),
    ("sum(abs((a b)))", "1:12: parse error: unexpected identifier \"b\" in aggregation"),
    ("sum(a +)", "1:8: parse error: unexpected \")\" in aggregation"),
    ("abs(sum(a) b)", "1:12: parse error: unexpected identifier \"b\""),
    ("sum(a) b", "1:8: parse error: unexpected identifier \"b\""),
    ("topk(x)", "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1"),
    ("topk(x, x)", "1:6: parse error: expected type scalar in aggregation parameter, got instant vector"),
    ("count_values(1, x)", "1:14: parse error: expected type string in aggregation parameter, got scalar"),
    ("sum(m[5m])", "1:5: parse error: expected type instant vector in aggregation expression, got range vector"),
    ("nope(x)", "1:1: parse error: unknown function with name \"nope\""),
    ("RATE(x[5m])", "1:1: parse error: unknown function with name \"RATE\""),
    ("rate(x)", "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector"),
    ("abs(x, )", "1:6: parse error: trailing commas not allowed in function call args"),
    ("abs(x, *)", "1:6: parse error: trailing commas not allowed in function call args"),
    ("abs(x, ;)", "1:8: parse error: unexpected character: ';'"),
    ("abs()", "1:1: parse error: expected 1 argument(s) in call to \"abs\", got 0"),
    ("round()", "1:1: parse error: expected at least 1 argument(s) in call to \"round\", got 0"),
    ("round(x, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
    ("label_join(x, \"a\")", "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 2"),
    (
        "label_join(x, \"a\", \",\", 1)",
        "1:25: parse error: expected type string in call to function \"label_join\", got scalar",
    ),
    ("info(x, y)", "1:9: parse error: expected label selectors only, got vector selector instead"),
    ("info(x, 1)", "1:1: parse error: expected type instant vector in call to function \"info\", got scalar"),
    ("info(1, 1)", "1:1: parse error: expected type instant vector in call to function \"info\", got scalar"),
    ("info(1, {a=\"b\"})", "1:6: parse error: expected type instant vector in call to function \"info\", got scalar"),
    ("info(x, -y)", "1:9: parse error: expected label selectors only"),
    ("info(x, {})", ""),
    ("1 and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
    ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
    ("1 + bool 1", "1:3: parse error: bool modifier can only be used on comparison operators"),
    ("a +\n  bool b", "1:3: parse error: bool modifier can only be used on comparison operators"),
    ("\"a\" + 1", "1:1: parse error: binary expression must contain only scalar and instant vector types"),
    ("1 + m[5m]", "1:5: parse error: binary expression must contain only scalar and instant vector types"),
    ("a + on (x) 1", "1:1: parse error: vector matching only allowed between instant vectors"),
    ("a + fill (0) 1", "1:1: parse error: filling in missing series only allowed between instant vectors"),
    ("a and fill (0) b", "1:1: parse error: filling in missing series not allowed for set operators"),
    ("a or on (x) group_left b", "1:1: parse error: no grouping allowed for \"or\" operation"),
    ("a + group_left b", "1:5: parse error: unexpected <group_left>"),
    ("a + on (x) group_left (x) b", "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once"),
    ("a + ignoring (x) group_left (x) b", ""),
    (
        "-\"a\"",
        "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
    ),
    ("m[5m][5m]", "1:6: parse error: ranges only allowed for vector selectors"),
    ("m[5m][5m:1m]", "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"),
    ("1[5m:1m]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead"),
    ("m offset 5m [5m]", "1:13: parse error: no offset modifiers allowed before range"),
    ("m @ 5 [5m]", "1:7: parse error: no @ modifiers allowed before range"),
    ("m[0]", "1:3: parse error: duration must be greater than 0"),
    ("m[-5m]", "1:3: parse error: duration must be greater than 0"),
    ("m[5m:0s]", "1:6: parse error: duration must be greater than 0"),
    ("m[5m / 0]", "1:6: parse error: division by zero"),
    ("m[5m % 0s]", "1:6: parse error: modulo by zero"),
    ("m[1e30]", "1:3: parse error: duration out of range"),
    ("m[5m", "1:5: parse error: unclosed left bracket"),
    (
        "m[]",
        "1:3: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()",
    ),
    ("m[5m 5m]", "1:6: parse error: unexpected duration \"5m\" in subquery or range, expected \":\" or \"]\""),
    ("m[5m:1m:1m]", "1:8: parse error: unexpected colon ':'"),
    ("m[:1m]", "1:4: parse error: unexpected colon before duration in duration expression"),
    ("m[foo]", "1:3: parse error: unexpected character in duration expression: 'f'"),
    ("m[\u{e4}]", "1:3: parse error: unexpected character in duration expression: '\u{e4}'"),
    ("m[\"5m\"]", "1:3: parse error: unexpected character in duration expression: '\"'"),
    ("m[5m foo]", "1:6: parse error: unexpected character: 'f', expected ':'"),
    ("m[5m \"x\"]", "1:6: parse error: unexpected string \"\\\"x\\\"\" in subquery or range, expected \":\" or \"]\""),
    ("m[5m[", "1:5: parse error: unexpected left bracket '['"),
    ("m[", "1:3: parse error: unexpected end of input in duration expression"),
    (
        "m[(5m:1m]",
        "1:6: parse error: unexpected \":\" in subquery or range selector, expected number, duration, step(), or range()",
    ),
    (
        "m[5m:step]",
        "1:10: parse error: unexpected \"]\" in subquery selector, expected number, duration, step(), range(), or \"]\"",
    ),
    ("m[5hs]", "1:3: parse error: unknown unit \"hs\" in duration \"5hs\""),
    ("m offset", "1:9: parse error: unexpected end of input in offset, expected number, duration, step(), or range()"),
    ("m offset 5m offset 5m", "1:1: parse error: offset may not be set multiple times"),
    ("m @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
    ("m @ x", "1:5: parse error: unexpected identifier \"x\" in @, expected timestamp"),
    ("m @ start", "1:10: parse error: unexpected end of input in @, expected timestamp"),
    ("m @ start(1)", "1:11: parse error: unexpected number \"1\" in @, expected timestamp"),
    ("m @ start() [5m]", ""),
    ("m offset step() [5m]", ""),
    ("m offset step() [5m] offset 5m", "1:1: parse error: offset may not be set multiple times"),
    ("m offset 0 [5m]", ""),
    ("m @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
    (
        "1 offset 5m",
        "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    ),
    (
        "abs(m) @ 5",
        "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    ),
    ("m[5m:] anchored", "1:1: parse error: anchored modifier is not supported for subqueries"),
    ("sum(m) anchored", "1:1: parse error: anchored modifier not implemented"),
    ("1 smoothed", "1:1: parse error: smoothed modifier not implemented"),
    ("m anchored smoothed", "1:1: parse error: anchored and smoothed modifiers cannot be used together"),
    ("sum(\n  rte(m[5m])\n)", "2:3: parse error: unknown function with name \"rte\""),
];

#[test]
fn errors_say_what_and_where() {
    for (text, expected) in REJECTED {
        let got = parse(text).map_or_else(|error| error.to_string(), |_| String::new());
        assert_eq!(got, *expected, "{text}");
    }
}

#[test]
fn types_follow_from_the_parts() {
    for (text, expected) in [
        ("1 + 2", ValueType::Scalar),
        ("-time()", ValueType::Scalar),
        ("a + 2", ValueType::Vector),
        ("(\"text\")", ValueType::String),
        ("m[5m]", ValueType::Matrix),
        ("m[5m:]", ValueType::Matrix),
        ("1 > bool 2", ValueType::Scalar),
        ("sum(m)", ValueType::Vector),
        ("vector(1)", ValueType::Vector),
    ] {
        let mut tree = parse(text).unwrap();
        assert_eq!(tree.value_type(), expected, "{text}");
        assert_eq!(check(&mut tree, text), Ok(expected), "{text}");
    }
}

#[test]
fn a_rendered_error_marks_its_part() {
    let error = parse("sum(\n\tä + rte(m[5m])\n)").unwrap_err();
    // `ä` cannot start a name, so it is the first thing that is wrong.
    assert_eq!(error.render().to_string().lines().nth(1), Some("\tä + rte(m[5m])"));
    let error = parse("sum(\n\t\"ä\" == rte(m[5m])\n)").unwrap_err();
    let expected = "2:10: parse error: unknown function with name \"rte\"\n\t\"ä\" == rte(m[5m])\n\t       ^^^";
    assert_eq!(error.render().to_string(), expected);
    let error = parse("1 +").unwrap_err();
    assert_eq!(error.render().to_string(), "1:4: parse error: unexpected end of input\n1 +\n   ^");
}
