//! Each case's text was rendered by Jinja2 3.1 with the environment that transformers sets up (its sandbox, `trim_blocks`,
//! `lstrip_blocks`, loop controls, its `tojson`), which is how `fixtures/cases.json` was made; a case without a text is
//! one that Jinja2 ends with an error.

#![allow(clippy::unwrap_used)]

use super::*;
use rstest::rstest;
use serde_json::{Map, Value as Json, json};

const BUDGET: Budget = Budget { steps: 1_000_000, bytes: 16 << 20 };

fn rendered(source: &str, variables: &Map<String, Json>) -> Result<Rendered, Failure> {
    let template = Template::parse(source).map_err(Failure::Fault)?;
    let values = || variables.iter().map(|(name, json)| Ok((name.as_str(), Value::from_json(json)?))).collect();
    std::thread::scope(|scope| {
        let render = || template.render(BUDGET, values);
        std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, render).unwrap().join().unwrap()
    })
}

fn text(source: &str) -> String {
    rendered(source, &Map::new()).unwrap().text
}

fn cases() -> (Map<String, Json>, Vec<Json>) {
    let all: Json = serde_json::from_str(include_str!("fixtures/cases.json")).unwrap();
    (all["variables"].as_object().unwrap().clone(), all["cases"].as_array().unwrap().clone())
}

#[rstest]
fn templates_render_as_in_jinja2(
    #[values(
        "none and undefined",
        "line breaks",
        "strings",
        "printing",
        "tojson",
        "numbers",
        "lists and dicts",
        "filters of text",
        "statements",
        "failures"
    )]
    topic: &str,
) {
    let (variables, cases) = cases();
    let of_topic: Vec<&Json> = cases.iter().filter(|case| case["topic"] == topic).collect();
    assert!(!of_topic.is_empty());
    let mut wrong = Vec::new();
    for case in of_topic {
        let template = case["template"].as_str().unwrap();
        let found = rendered(template, &variables).map(|rendered| rendered.text);
        if found.as_deref().ok() != case["text"].as_str() {
            wrong.push(format!("{template}\n  want {:?}\n  got  {found:?}", case["text"].as_str()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[rstest]
#[case::not_closed("{% for m in messages %}", "expected the tag else or endfor")]
#[case::unknown_tag("a\n{% frobnicate %}", "unknown tag 'frobnicate'")]
#[case::not_closed_tag("{{ messages", "a tag does not end")]
#[case::not_closed_string("{{ 'a", "a string does not end")]
#[case::brackets("{{ (1] }}", "unexpected ']'")]
#[case::break_outside("{% break %}", "'break' outside of a loop")]
#[case::lone_end("{% endif %}", "unknown tag 'endif'")]
#[case::constant("{% set true = 1 %}", "cannot assign to 'true'")]
fn faults_of_a_source_are_named(#[case] source: &str, #[case] message: &str) {
    let fault = Template::parse(source).unwrap_err();
    assert_eq!(fault.message, message);
    assert_eq!(fault.line, source.matches('\n').count() + 1);
}

#[test]
fn a_failure_has_its_line() {
    let failure = rendered("a\n{% if true %}\n{{ x.y.z }}{% endif %}", &Map::new()).unwrap_err();
    assert!(matches!(failure, Failure::Fault(fault) if fault.line == 3 && fault.message == "'x' is undefined"));
}

#[rstest]
#[case::brackets(format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000)))]
#[case::calls(format!("{{{{ {}1{} }}}}", "range(".repeat(5000), ")".repeat(5000)))]
#[case::signs(format!("{{{{ {}1 }}}}", "-".repeat(5000)))]
#[case::nots(format!("{{{{ {}1 }}}}", "not ".repeat(5000)))]
#[case::fields(format!("{{{{ x{} }}}}", ".a".repeat(5000)))]
#[case::sums(format!("{{{{ 1{} }}}}", " + 1".repeat(5000)))]
#[case::choices(format!("{{{{ {}1 }}}}", "1 if 0 else ".repeat(5000)))]
#[case::blocks("{% if 1 %}".repeat(5000) + &"{% endif %}".repeat(5000))]
fn what_is_too_deep_in_each_other_is_refused(#[case] source: String) {
    assert!(Template::parse(&source).is_err());
}

/// A chat's message that is 1 KiB long.
fn long() -> Map<String, Json> {
    let mut variables = Map::new();
    variables.insert("s".to_owned(), json!("x".repeat(1024)));
    variables
}

#[rstest]
#[case::concat("{% set ns.s = ns.s ~ ns.s %}")]
#[case::plus("{% set ns.s = ns.s + ns.s %}")]
#[case::times("{% set ns.s = ns.s * 1000 %}")]
#[case::times_at_once("{% set ns.s = ns.s * 99999999999 %}")]
#[case::join("{% set ns.s = [ns.s, ns.s]|join %}")]
#[case::join_method("{% set ns.s = ns.s.join(['a', 'b', 'c', 'd']) %}")]
#[case::replace("{% set ns.s = ns.s.replace('', ns.s) %}")]
#[case::replace_filter("{% set ns.s = ns.s|replace('x', s) %}")]
#[case::format("{% set ns.s = '%s%s' % (ns.s, ns.s) %}")]
#[case::braces("{% set ns.s = '{}{}'.format(ns.s, ns.s) %}")]
#[case::block("{% set x %}{{ ns.s }}{{ ns.s }}{% endset %}{% set ns.s = x %}")]
#[case::macros("{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}{% set ns.s = m(ns.s) %}")]
#[case::slices("{% set ns.l = ns.l + [s[1:]] %}")]
#[case::upper("{% set ns.l = ns.l + [s|upper] %}")]
#[case::lists("{% set ns.l = ns.l + ns.l %}")]
#[case::list_times("{% set ns.l = ns.l * 99999999999 %}")]
#[case::printed_lists("{% set ns.l = [ns.l, ns.l] %}{% set x = ns.l ~ '' %}")]
#[case::json_of_lists("{% set ns.l = [ns.l, ns.l] %}{% set x = ns.l|tojson %}")]
#[case::dicts("{% set ns.d = {'a': ns.d, 'b': ns.d} %}{% set x = ns.d|string %}")]
#[case::indent("{% set ns.s = ns.s|indent(99999999, true) %}")]
#[case::json_indent("{% set ns.l = [ns.l] %}{% set x = ns.l|tojson(indent=999999) %}")]
#[case::center("{% set ns.s = ns.s|center(99999999) %}")]
#[case::zfill("{% set ns.s = ns.s.zfill(99999999) %}")]
#[case::ranges("{% set ns.l = ns.l + [range(99999)] %}")]
#[case::split("{% set ns.l = ns.l + [s.split('x')] %}")]
#[case::characters("{% set ns.l = ns.l + [s|list] %}")]
#[case::compared("{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}{% set x = ns.l == ns.m %}")]
#[case::batches("{% set ns.l = [1]|batch(99999999, 0) %}")]
#[case::namespaces("{% set ns.l = ns.l + [namespace(a=s[1:])] %}")]
#[case::closures("{% set x = s[1:] %}{% macro m() %}{% endmacro %}{% set ns.l = ns.l + [m] %}")]
fn what_grows_ends_with_a_budget(#[case] body: &str) {
    let source = format!(
        "{{% set ns = namespace(s=s, l=[1], m=[2], d={{}}) %}}{{% for i in range(99999) %}}{body}{{% endfor %}}done"
    );
    let failure = rendered(&source, &long()).unwrap_err();
    assert!(matches!(failure, Failure::Budget(_)), "{failure:?}");
}

#[test]
fn memory_that_is_free_again_counts_no_longer() {
    let source = "{% for i in range(20000) %}{% set x = s ~ s %}{% endfor %}done";
    assert_eq!(rendered(source, &long()).unwrap().text, "done");
}

#[test]
fn a_macro_that_calls_itself_for_ever_ends() {
    let failure = rendered("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", &Map::new()).unwrap_err();
    assert!(matches!(failure, Failure::Budget("it calls itself too often")), "{failure:?}");
}

#[test]
fn a_refusal_inside_a_macro_is_a_refusal() {
    let source = "{% macro no() %}{{ raise_exception('no') }}{% endmacro %}{{ no() }}";
    assert!(matches!(rendered(source, &Map::new()), Err(Failure::Raised(message)) if message == "no"));
}

#[test]
fn the_date_of_today_is_known() {
    let found = text("{{ strftime_now('%d %b %Y') }}");
    let parsed = jiff::civil::Date::strptime("%d %b %Y", &found).unwrap();
    let age = jiff::Zoned::now().date().since(parsed).unwrap().get_days();
    assert!((0..=1).contains(&age), "{found}");
    assert!(rendered("{{ strftime_now('%') }}", &Map::new()).is_err());
}

/// The parts of what is rendered that a client said, with `·` between them.
fn said(source: &str) -> String {
    let mut variables = Map::new();
    variables.insert("c".to_owned(), json!("<a> b\n<c>"));
    variables.insert("d".to_owned(), json!({"k<": ["v>", 1]}));
    let rendered = rendered(source, &variables).unwrap();
    let parts: Vec<&str> = rendered.said.iter().map(|said| &rendered.text[said.clone()]).collect();
    parts.join("·")
}

#[rstest]
#[case("<t>{{ c }}<t>", "<a> b\n<c>")]
#[case("{{ '<t>' + c ~ '<t>' }}", "<a> b\n<c>")]
#[case("<t>{{ c.split('b')[0] }}<t>{{ c.split('b')|last }}", "<a> ·\n<c>")]
#[case("{{ (' ' ~ c ~ ' ')|trim ~ '<t>' }}", "<a> b\n<c>")]
#[case("{{ c.replace('b', '<t>') }}", "<a> ·\n<c>")]
#[case("{{ 'x-y'.replace('-', c) }}", "<a> b\n<c>")]
#[case("{{ ['<t>', c, '<t>']|join('<t>') }}", "<a> b\n<c>")]
#[case("{{ c[1:2] }}<t>{{ c[0] }}{{ c[-1] }}", "a·<>")]
#[case("{{ '<t>%s<t>' % c }}{{ '<t>{}'.format(c) }}", "<a> b\n<c>·<a> b\n<c>")]
#[case("<t>{{ c|upper }}", "<A> B\n<C>")]
#[case("{{ c|indent(1) }}", "<a> b·<c>")]
#[case("{{ c.partition(' ')[0] ~ '<t>' }}{{ c.removeprefix('<a>') }}", "<a>· b\n<c>")]
#[case("{{ d|tojson }}", "k<·v>")]
#[case("{{ d }}", "k<·v>")]
#[case("{% for k, v in d.items() %}{{ k }}<t>{{ v[0] }}{% endfor %}", "k<·v>")]
#[case("{% set x %}<t>{{ c }}{% endset %}{{ x }}{% macro m(y) %}<t>{{ y }}{% endmacro %}{{ m('z') }}", "<a> b\n<c>")]
#[case("{% for x in c %}{{ x }}-{% endfor %}", "<·a·>· ·b·\n·<·c·>")]
#[case("{{ dict(**d)|list|join }}", "k<")]
#[case("{{ '<t>' if c else c }}{{ c|length }}", "")]
fn what_a_client_said_is_known_after_whatever_a_template_does(#[case] source: &str, #[case] expected: &str) {
    assert_eq!(said(source), expected);
}
