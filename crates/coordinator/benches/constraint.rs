//! What constrained answers cost the coordinator: a schema of 50 properties, and hostile grammars.
//! `cargo bench -p gogrid-coordinator --features bench --bench constraint -- VOCABULARY`, where the file has a token a
//! line, as base64 and its number (tiktoken's form); without one, tokens are single bytes.

use gogrid_coordinator::constraint::{
    Grammar,
    bench::{Bench, Step},
};
use serde_json::{Value, json};
use std::{fs, time::Duration};

/// Tokens of a hostile answer.
const TOKENS: usize = 2000;

fn main() {
    let path = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let bench = Bench::new(path.map_or_else(|| (0..=255).map(|byte| vec![byte]).collect(), |path| read(&path)));
    println!("the vocabulary was made in {:.0} ms", ms(bench.made_in));
    let (compiled_in, steps) = bench.fifty_fields();
    println!("50 properties: compiled in {:.1} ms", ms(compiled_in));
    print(&steps);
    for _ in 0..4 {
        print(&bench.fifty_fields().1);
    }
    for (name, grammar) in hostile() {
        let before = resident();
        let (compiled_in, steps, end) = bench.hostile(&grammar, TOKENS);
        let grown = resident().saturating_sub(before);
        let most = steps.iter().map(|step| step.took).max().unwrap_or_default();
        println!(
            "{name}: compiled in {:.0} ms, {} tokens, {:.1} ms at most for one, {grown} MiB more, {}",
            ms(compiled_in),
            steps.len(),
            ms(most),
            end.as_deref().unwrap_or("whole")
        );
    }
}

fn read(path: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(path).expect("the vocabulary can be read");
    let line = |line: &str| data_encoding::BASE64.decode(line.split(' ').next().unwrap_or_default().as_bytes());
    text.lines().map(|text| line(text).expect("base64")).collect()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn print(steps: &[Step]) {
    let mut times: Vec<Duration> = steps.iter().map(|step| step.took).collect();
    times.sort_unstable();
    let at = |part: f64| ms(times[((times.len() - 1) as f64 * part) as usize]);
    let mean = times.iter().sum::<Duration>().as_secs_f64() * 1e3 / times.len() as f64;
    let bytes = steps.iter().map(|step| step.bytes).sum::<usize>() / steps.len();
    let largest = steps.iter().map(|step| step.bytes).max().unwrap_or(0);
    println!(
        "{} tokens: p50 {:.3} ms, p99 {:.3} ms, at most {:.3} ms, mean {mean:.3} ms; {bytes} bytes each, {largest} at most",
        steps.len(),
        at(0.5),
        at(0.99),
        at(1.0),
    );
}

/// Resident memory, in MiB.
fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096 >> 20
}

fn hostile() -> Vec<(&'static str, Grammar)> {
    let patterns: serde_json::Map<String, Value> = (0..300)
        .map(|at| (format!("p{at}"), json!({"type": "string", "pattern": format!("(a|b{at}|.*c){{0,40}}x$")})))
        .collect();
    let words: Vec<Value> = (0..15_000).map(|number| json!(format!("word{number}"))).collect();
    let optional: serde_json::Map<String, Value> = (0..2000).map(|at| (format!("p{at}"), json!(true))).collect();
    let rules: String = (0..8000).map(|at| format!("r{at}: r{} | \"a\"\n", at + 1)).collect();
    let all_of: Vec<Value> = (0..12)
        .map(|at| json!({"anyOf": (0..12).map(|to| json!({"properties": {format!("p{at}"): {"const": to}}})).collect::<Vec<_>>()}))
        .collect();
    vec![
        ("any object", Grammar::JsonObject),
        ("patterns that explode", Grammar::JsonSchema(json!({"type": "object", "properties": patterns}))),
        ("a huge enum", Grammar::JsonSchema(json!({"enum": words}))),
        ("many optional properties", Grammar::JsonSchema(json!({"type": "object", "properties": optional}))),
        ("a product", Grammar::JsonSchema(json!({"allOf": all_of}))),
        ("a power set", Grammar::Regex(".*a.{1000}".into())),
        ("overlapping power sets", Grammar::Regex("(.*a.{20}|.*b.{21}|.*[a-m].{22})*".into())),
        ("nested repetition", Grammar::Regex("((a{1,1000}){1,1000}){1,1000}b".into())),
        ("any text", Grammar::Regex("(?s:.*)".into())),
        ("Unicode classes", Grammar::Regex(r"(\p{L}{3,40}\p{N}|\w+\W\w+){10,200}".into())),
        ("an ambiguous grammar", Grammar::Lark("start: s\ns: s s s | s s | /[a-z]/ | \"\"".into())),
        (
            "a very ambiguous grammar",
            Grammar::Lark("start: s+\ns: a | b | s s\na: /[a-z]/ | a a\nb: /[a-z]/ | b b".into()),
        ),
        ("a long chain of rules", Grammar::Lark(format!("start: r0\n{rules}r8000: \"a\""))),
        ("a rule of itself", Grammar::Gbnf("root ::= root".into())),
        ("repetition of repetition", Grammar::Gbnf("root ::= ((([a-z]{0,9999}){0,9999}){0,9999})".into())),
        (
            "many items",
            Grammar::JsonSchema(json!({"type": "array", "minItems": 1_000_000_000, "items": {"type": "null"}})),
        ),
        ("a long string", Grammar::JsonSchema(json!({"type": "string", "minLength": 1_000_000_000}))),
    ]
}
