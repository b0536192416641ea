use proptest::prelude::*;
use serde_json::json;

use super::*;

fn run(text: &str) -> Result<String, String> {
    let this = json!({
        "replicas": 3, "min": 1, "name": "web-1", "ratio": 0.5, "tags": ["a", "b"], "on": true,
        "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53}],
        "labels": {"app": "x", "a-b": "y"}, "a-b": 1, "namespace": "n", "empty": {},
    });
    let program = Program::compile(text)?;
    let result = program.run(Val::json(&this, None), None, &mut Fuel::new(100_000))?;
    Ok(match result {
        Val::Bool(value) => value.to_string(),
        Val::Int(value) => value.to_string(),
        Val::Double(value) => format!("{value:?}"),
        Val::String(text) => text.as_str().to_owned(),
        other => other.type_name().to_owned(),
    })
}

#[test]
fn expressions_that_are_true() {
    let all = [
        "self.replicas >= self.min && self.replicas <= 10",
        "self.replicas == 3.0 && self.ratio < 1",
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && -7 / 2 == -3 && 7 % 4 == 3",
        "has(self.name) && !has(self.missing)",
        "has(self.missing) || self.name.startsWith('web')",
        "self.missing == 1 || true",
        "true || self.missing == 1",
        "self.tags.all(t, t.size() == 1) && self.tags.exists(t, t == 'b')",
        "self.ports.exists_one(p, p.name == 'dns')",
        "self.ports.map(p, p.port) == [80, 53]",
        "self.ports.map(p, p.port > 60, p.name) == ['http']",
        "self.ports.filter(p, p.port < 60)[0].name == \"dns\"",
        "'a' in self.tags && 'app' in self.labels && !('z' in self.labels)",
        "self.labels['a-b'] == 'y' && self.a__dash__b == 1 && self.__namespace__ == 'n'",
        "self.labels.all(k, self.labels[k].size() == 1)",
        "self.tags.all(i, t, i < 2 && t != '')",
        "self.name.matches('^[a-z]+-[0-9]$') && self.name.find('[0-9]') == '1'",
        "self.name.split('-')[1] == '1' && self.name.indexOf('-') == 3 && self.name.substring(0, 3) == 'web'",
        "size(self.tags) == 2 && [1, 2, 3].sum() == 6 && [1, 2].isSorted() && [3, 1].max() == 3",
        "['b', 'a'].sort() == ['a', 'b'] && ['a', 'b'].join(',') == 'a,b'",
        "(self.on ? 1 : 2) == 1",
        "self.?missing.orValue(5) == 5 && self.?name.hasValue() && self.?empty.?x.orValue('d') == 'd'",
        "optional.of(2).optMap(x, x * 2).value() == 4 && !optional.none().hasValue()",
        "self.tags[?5].orValue('none') == 'none'",
        "duration('90m') == duration('1h30m') && duration('1h').getMinutes() == 60",
        "timestamp('2026-01-02T00:00:00Z') - timestamp('2026-01-01T00:00:00Z') == duration('24h')",
        "timestamp('2026-01-02T03:04:05Z').getFullYear() == 2026",
        "quantity('1Gi').isGreaterThan(quantity('1000M')) && isQuantity('100m') && quantity('2').asInteger() == 2",
        "isIP('10.0.0.1') && !isIP('x') && isCIDR('10.0.0.0/8')",
        "sets.contains(self.tags, ['a']) && sets.intersects([1], [1, 2]) && math.greatest(1, 3) == 3",
        "cel.bind(x, self.replicas, x + x) == 6",
        "int('5') == 5 && string(5) == '5' && double(1) == 1.0",
        "{'a': 1}.a == 1 && {'a': 1} == {'a': 1} && [1, [2]] == [1, [2]]",
        "r'\\d' == '\\\\d' && '\\u0041' == 'A' && \"it's\" == 'it\\'s' && 0x10 == 16 && 1e3 == 1000.0",
        "dyn(self.replicas) == 3 // a comment",
    ];
    for text in all {
        assert_eq!(run(text), Ok("true".to_owned()), "{text}");
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let cases = [
        ("self.missing", "no such key: missing"),
        ("self.tags[9]", "index out of bounds: 9"),
        ("1 / 0", "division by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("1 + 'a'", "no such overload: _+_(int, string)"),
        ("other", "undeclared reference to 'other' (in container '')"),
        (
            "self.name.nothing()",
            "undeclared reference to 'nothing' (in container '')",
        ),
        ("1 +", "Syntax error: unexpected end"),
        ("(1", "Syntax error: expected ')' but found the end"),
        ("'a", "Syntax error: unterminated string"),
        ("has(self)", "invalid argument to has() macro"),
        ("self # 1", "Syntax error: token recognition error at: '#'"),
    ];
    for (text, expected) in cases {
        assert_eq!(run(text), Err(expected.to_owned()), "{text}");
    }
}

#[test]
fn work_is_bounded() {
    let list = "[1,2,3,4,5,6,7,8,9,10]";
    let mut text = "true".to_owned();
    for at in 0..8 {
        text = format!("{list}.all(x{at}, {text})");
    }
    assert_eq!(
        run(&text),
        Err("operation cancelled: actual cost limit exceeded".to_owned())
    );
    let double = "cel.bind(s, s + s, ".repeat(60) + "s" + &")".repeat(60);
    let text = format!("cel.bind(s, 'aaaaaaaaaaaaaaaa', {double})");
    assert_eq!(
        run(&text),
        Err("operation cancelled: actual cost limit exceeded".to_owned())
    );
}

#[test]
fn depth_and_length_are_bounded() {
    for text in [
        "(".repeat(5_000) + "1",
        "-".repeat(5_000) + "1",
        "1".to_owned() + &"+1".repeat(5_000),
        "self".to_owned() + &".a".repeat(5_000),
    ] {
        assert_eq!(
            run(&text),
            Err("the expression is nested too deep".to_owned())
        );
    }
    assert!(
        run(&" ".repeat(20_000))
            .unwrap_err()
            .contains("must not be longer")
    );
    let wide = "true".to_owned() + &" && true".repeat(1_000);
    assert_eq!(run(&wide), Ok("true".to_owned()));
}

#[test]
fn looking_at_the_old_value_is_noticed() {
    assert!(
        Program::compile("self.tags.all(t, t in oldSelf.tags)")
            .unwrap()
            .uses_old()
    );
    assert!(!Program::compile("self.oldSelf == 1").unwrap().uses_old());
}

proptest! {
    #[test]
    fn any_text_is_handled(text in r#"(self|oldSelf|x|1|2\.5|'a'|"b"|true|null|\.|\?|:|\(|\)|\[|\]|\{|\}|,|\+|-|\*|/|%|!|==|<|&&|\|\||in| |has|all|map|size|find|replace|split){0,24}"#) {
        let _ = run(&text);
    }

    #[test]
    fn any_bytes_are_handled(text in ".{0,40}") {
        let _ = run(&text);
    }
}
